"""The files of a checkpoint's weights: which they are, whether each is whole, and what is in them."""

import pickle
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from glm4_intel.errors import Glm4Error
from glm4_intel.model_directory import read_json
from glm4_intel.model_directory.tensor_files import load_pickled, read_header

if TYPE_CHECKING:
    from torch import Tensor

SINGLE = ("model.safetensors", "pytorch_model.bin")
"""The weights in one file; an index beside shards adds `.index.json`."""
_AGAIN = "Fetch the checkpoint again; a download resumes where it stopped."
_TYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool"}
"""safetensors' names of types, as PyTorch has them; the others are named as they stand."""


class Stored(NamedTuple):
    """What a file says of a tensor."""

    type: str
    shape: tuple[int, ...]


def find_shards(path: Path) -> tuple[Path, ...]:
    """The weight files: safetensors if there are any, else PyTorch's; sharded or single.

    Raises Glm4Error if one is missing.
    """
    for single in SINGLE:
        index = path / f"{single}.index.json"
        if index.is_file():
            names = _names(index)
        elif (path / single).is_file():
            names = [single]
        else:
            continue
        missing = [name for name in names if not (path / name).is_file()]
        if missing or not names:
            raise Glm4Error(f"{path} lacks {missing[0] if missing else 'weights'}", _AGAIN)
        return tuple(path / name for name in names)
    raise Glm4Error(f"{path} lacks model.safetensors", _AGAIN)


def _names(index: Path) -> list[str]:
    """The files that an index names, which lie beside it."""
    stated = read_json(index).get("weight_map")
    names: list[Any] = list(stated.values()) if isinstance(stated, dict) else [None]
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(r"[\w.-]{1,200}", name):
            raise Glm4Error(f"{index} names {name!r:.60}, which is no file of this folder", _AGAIN)
    return sorted(set(names))


def stored_tensors(shards: Iterable[Path]) -> dict[str, Stored]:
    """Each tensor's type and shape. Raises Glm4Error for a file that is cut short or damaged."""
    return {name: stored for shard in shards for name, stored in _stored(shard).items()}


def _stored(shard: Path) -> dict[str, Stored]:
    if shard.suffix == ".bin":
        return {name: Stored(str(each.dtype)[6:], tuple(each.shape)) for name, each in open_shard(shard).items()}
    _, header = read_header(shard)
    return {
        name: Stored(_TYPES.get(entry["dtype"], entry["dtype"]), tuple(entry["shape"]))
        for name, entry in header.items()
    }


def open_shard(shard: Path) -> dict[str, "Tensor"]:
    """A shard's tensors, mapped. A pickled one goes through PyTorch's loader of weights alone, which runs no code.

    Raises Glm4Error for a file that can't be read.
    """
    from safetensors import SafetensorError

    try:
        return _opened(shard)
    except (SafetensorError, RuntimeError, OSError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0]
        raise Glm4Error(f"{shard} can't be read: {reason}", "Fetch it again.") from error


def _opened(shard: Path) -> dict[str, "Tensor"]:
    from safetensors import safe_open

    if shard.suffix == ".bin":
        return load_pickled(shard)
    with safe_open(shard, framework="pt") as file:  # type: ignore[no-untyped-call]
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it has no __iter__


def tensor_offsets(shard: Path) -> dict[str, int]:
    """Where each tensor of a safetensors file begins in it."""
    start, tensors = read_header(shard)
    return {name: start + entry["data_offsets"][0] for name, entry in tensors.items()}
