"""Files of tensors by name: what a safetensors file says of itself, and PyTorch's own read without running any code."""

import json
import pickle
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Glm4Error
from ..machine.packages import pip_command

if TYPE_CHECKING:
    from torch import Tensor

_LONGEST_HEADER = 100 << 20  # as the format's own library has it
_AGAIN = "Fetch it again."
_NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""safetensors' names of the types that weights have; NumPy has no bf16, which is the upper half of an f32."""


def read_header(path: Path) -> tuple[int, dict[str, Any]]:
    """Where a safetensors file's tensors begin and what is known of each, after the header has been held against the
    file's size. Raises Glm4Error for a file that is damaged or cut short.

    The format: 8 bytes with the header's length, a JSON header with each tensor's offsets, the tensors
    (https://github.com/huggingface/safetensors#format).
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length)) if length <= min(size, _LONGEST_HEADER) else {}
        header.pop("__metadata__", None)
        end = max(_end(entry) for entry in header.values())
    except (struct.error, ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise Glm4Error(f"{path} is damaged: it has no safetensors header", _AGAIN) from error
    if size != 8 + length + end:
        raise Glm4Error(f"{path} is cut short: {size:,} bytes of {8 + length + end:,}", _AGAIN)
    return 8 + length, header


def _end(entry: dict[str, Any]) -> int:
    """Where a tensor ends. Raises ValueError for an entry that describes none."""
    begin, end = entry["data_offsets"]
    numbers = [begin, end, *entry["shape"]]
    if not isinstance(entry["dtype"], str) or not all(isinstance(each, int) and each >= 0 for each in numbers):
        raise ValueError("no tensor")
    return int(end)


def load_pickled(path: Path) -> "dict[str, Tensor]":
    """The tensors of one of PyTorch's own files, mapped, through its loader of weights alone.

    Raises ValueError, RuntimeError, EOFError, OSError or UnpicklingError for one that holds anything else.
    """
    import torch

    loaded = torch.load(path, mmap=True, weights_only=True, map_location="cpu")
    named = isinstance(loaded, dict) and all(
        isinstance(name, str) and isinstance(each, torch.Tensor) for name, each in loaded.items()
    )
    if not named:
        raise ValueError("it holds something else than tensors by their names")
    return dict(loaded)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Every tensor of a small file, float32: safetensors, or PyTorch's own `.bin`, which needs PyTorch.

    Raises Glm4Error for a file that can't be read, and for a tensor that is no weight or has NaN or infinity in it.
    """
    arrays = _pickled_arrays(path) if path.suffix == ".bin" else _safetensors_arrays(path)
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise Glm4Error(f"{name} of {path} has NaN or infinity in it", _AGAIN)
    return arrays


def _pickled_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        return {name: tensor.float().numpy() for name, tensor in load_pickled(path).items()}
    except ImportError as error:
        raise Glm4Error(
            f"{path} is PyTorch's own and can't be read without it", f"Run: {pip_command('torch')}"
        ) from error
    except (RuntimeError, OSError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise Glm4Error(f"{path} can't be read: {str(error).strip().splitlines()[0]}", _AGAIN) from error


def _safetensors_arrays(path: Path) -> dict[str, np.ndarray]:
    start, header = read_header(path)
    data = path.read_bytes()
    arrays = {}
    for name, entry in header.items():
        if entry["dtype"] not in _NUMPY:
            raise Glm4Error(f"{name} of {path} is of the type {entry['dtype']}, which is no weight's", _AGAIN)
        begin, end = (start + offset for offset in entry["data_offsets"])
        try:
            values = np.frombuffer(data[begin:end], _NUMPY[entry["dtype"]]).reshape(entry["shape"])
        except ValueError as error:
            raise Glm4Error(f"{name} of {path} has not the size that its header tells", _AGAIN) from error
        bf16 = entry["dtype"] == "BF16"
        arrays[name] = (values.astype(np.uint32) << 16).view(np.float32) if bf16 else values.astype(np.float32)
    return arrays
