"""A checkpoint's tensors, left in their memory-mapped files, and the PyTorch model over them."""

import bisect
import errno
import inspect
import mmap
import os
import threading
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import AutoConfig, PreTrainedModel

from glm4_intel.errors import Glm4Error

from .context import rope_scaling
from .shards import open_shard, tensor_offsets
from .source import Checkpoint

_ARCHITECTURES = {"GlmForCausalLM": "glm", "Glm4ForCausalLM": "glm4"}
"""The module of transformers that each is in."""
_AGAIN = "Is config.json this checkpoint's own? Fetch both again."
_PAGE, _SMALL = 4096, 256 << 10


class Place(NamedTuple):
    """Where a tensor's bytes are: mapped at `address`, and at `offset` of a file."""

    address: int
    size: int
    path: Path
    offset: int


def load(checkpoint: Checkpoint) -> tuple[PreTrainedModel, "WeightFiles"]:
    """The checkpoint's model over its memory-mapped tensors, in their own type, and the files that they are in.

    No code of the checkpoint is run. Raises Glm4Error if the tensors are not those that its config describes, or one of
    the small ones is not finite.
    """
    config = checkpoint.config
    try:
        with torch.device("meta"):
            model = _architecture(checkpoint.layout.architecture)(AutoConfig.for_model(**config))
    except Exception as error:  # transformers builds what the numbers say, and raises whatever it meets
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise Glm4Error(f"{checkpoint.path / 'config.json'} describes no model: {reason}", _AGAIN) from error
    read, places, mapped = _read(checkpoint)
    tensors = checkpoint.layout.tensors(read, config)
    _require_same(checkpoint.path, {name: value.shape for name, value in model.state_dict().items()}, tensors, config)
    kind = tensors["model.embed_tokens.weight"].dtype
    model.load_state_dict(
        {name: tensor.to(kind) for name, tensor in tensors.items()}, assign=True, strict=not config_ties(config)
    )
    if config_ties(config):
        model.tie_weights()
    model.model.rotary_emb = _rotary(model)  # its table is computed, not loaded
    return model.eval(), WeightFiles(places, mapped)


def _architecture(name: str) -> type[PreTrainedModel]:
    found: type[PreTrainedModel] = getattr(import_module(f"transformers.models.{_ARCHITECTURES[name]}"), name)
    return found


def _rotary(model: PreTrainedModel) -> torch.nn.Module:
    made, config = type(model.model.rotary_emb), model.config
    if "config" in inspect.signature(made).parameters:
        rotary: torch.nn.Module = made(config=config)
    elif rope_scaling(config.to_dict()) is not None:
        raise Glm4Error("This transformers knows no rope_scaling of GLM", "Take it out of config.json, or export.")
    else:  # transformers 4.46, which ITREX wants: half of each head rotates
        rotary = made(config.head_dim // 2, config.max_position_embeddings, config.rope_theta)
    return rotary


def config_ties(config: dict[str, Any]) -> bool:
    return bool(config.get("tie_word_embeddings"))


def _read(checkpoint: Checkpoint) -> tuple[dict[str, torch.Tensor], list[Place], list[torch.Tensor]]:
    """The checkpoint's tensors, where each of them is, and those that keep the files mapped."""
    tensors: dict[str, torch.Tensor] = {}
    places: list[Place] = []
    mapped: list[torch.Tensor] = []
    for shard in checkpoint.shards:
        opened = open_shard(shard)
        tensors |= opened
        if shard.suffix != ".bin":
            mapped += opened.values()
            offsets = tensor_offsets(shard)
            places += [Place(each.data_ptr(), each.nbytes, shard, offsets[name]) for name, each in opened.items()]
            small = {name: each for name, each in opened.items() if each.nbytes <= _SMALL}
            tensors |= {name: _copied(each, shard, offsets[name]) for name, each in small.items()}
    for name, tensor in tensors.items():
        if tensor.dim() == 1 and not tensor.isfinite().all():
            raise Glm4Error(f"{name} of {checkpoint.path} has NaN or infinity in it", "Fetch the checkpoint again.")
    return tensors, places, mapped


def _copied(tensor: torch.Tensor, shard: Path, offset: int) -> torch.Tensor:
    """A small tensor read by itself: where the first byte of a mapped one is touched, megabytes around it are read."""
    with shard.open("rb") as file:
        file.seek(offset)
        return torch.frombuffer(bytearray(file.read(tensor.nbytes)), dtype=tensor.dtype).reshape(tensor.shape)


def require_finite_weights(model: PreTrainedModel, advance: Callable[[int], None]) -> None:
    """Read every weight once. Raises Glm4Error for NaN or infinity; compression looks for them by itself."""
    for name, tensor in model.state_dict().items():
        if not all(rows.isfinite().all() for rows in tensor.split(1024)):
            raise Glm4Error(f"{name} has NaN or infinity in it", "The file is damaged: fetch it again.")
        advance(tensor.nbytes)


def _require_same(
    path: Path, expected: dict[str, torch.Size], found: dict[str, torch.Tensor], config: dict[str, Any]
) -> None:
    """transformers would fill what is missing with random numbers, and forget what is too much."""
    if config_ties(config):
        expected.pop("lm_head.weight", None)
    rows = found["model.embed_tokens.weight"].shape[0] if "model.embed_tokens.weight" in found else None
    if rows not in (None, config["vocab_size"]):
        raise Glm4Error(
            f"The vocabulary of {path} has {rows:,} rows, and config.json says {config['vocab_size']:,}",
            f"If it was resized, put {rows} into config.json: vocab_size, or padded_vocab_size where there is one. "
            "If it was not, config.json is another checkpoint's.",
        )
    wrong = sorted(name for name in expected if name not in found or found[name].shape != expected[name])
    if wrong:
        raise Glm4Error(f"{path} lacks {wrong[0]} or has it in another shape ({len(wrong)} such tensors)", _AGAIN)
    unknown = sorted(found.keys() - expected.keys())
    if unknown:
        raise Glm4Error(f"{path} has {unknown[0]}, which its config does not describe ({len(unknown)} such)", _AGAIN)


class WeightFiles:
    """Reads parts of a model's tensors from their files, past the system's cache where that can be done.

    Touching 18.8 GB of mapped memory costs a page fault for every few kilobytes, and pushes what other programs have in
    the cache out of it. Here each byte is read once, in large pieces, into a buffer that is used again.
    """

    def __init__(self, places: Iterable[Place], mapped: Iterable[torch.Tensor]) -> None:
        """`mapped` are what lies at the places: while they live, nothing else can have the addresses."""
        self._mapped = list(mapped)
        self._places = sorted(places)
        self._starts = [place.address for place in self._places]
        self._files: dict[Path, int] = {}
        self._opening, self._own = threading.Lock(), threading.local()

    def read(self, address: int, size: int) -> np.ndarray | None:
        """The `size` bytes mapped at `address`, valid until this thread's next call; None if they are in no file."""
        place = self._place(address, size)
        if place is None or not hasattr(os, "preadv"):
            return None
        at = place.offset + address - place.address
        first, end = at // _PAGE * _PAGE, -(-(at + size) // _PAGE) * _PAGE
        buffer = self._buffer(end - first)
        if os.preadv(self._open(place.path), [memoryview(buffer)[: end - first]], first) < at + size - first:
            raise Glm4Error(f"{place.path} has become shorter", "Fetch it again.")
        return np.frombuffer(buffer, np.uint8, size, at - first)

    def close(self) -> None:
        for file in self._files.values():
            os.close(file)
        self._files.clear()
        self._places, self._starts, self._mapped = [], [], []

    def _place(self, address: int, size: int) -> Place | None:
        index = bisect.bisect_right(self._starts, address) - 1
        if index < 0 or address + size > self._places[index].address + self._places[index].size:
            return None
        return self._places[index]

    def _open(self, path: Path) -> int:
        with self._opening:
            if path not in self._files:
                self._files[path] = _open_past_the_cache(path)
            return self._files[path]

    def _buffer(self, size: int) -> mmap.mmap:
        """This thread's own, which begins at a page, as reading past the cache asks for."""
        buffer: mmap.mmap | None = getattr(self._own, "buffer", None)
        if buffer is None or len(buffer) < size:
            buffer = self._own.buffer = mmap.mmap(-1, size)
        return buffer


def _open_past_the_cache(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | getattr(os, "O_DIRECT", 0))
    except OSError as error:
        if error.errno != errno.EINVAL:  # what a file system says that has nothing but its cache
            raise
        return os.open(path, os.O_RDONLY)
