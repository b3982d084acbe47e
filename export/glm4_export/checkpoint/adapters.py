"""Adapters merged into a checkpoint's weights, one layer after another, before anything is compressed."""

import mmap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from glm4_intel.adapters import Adapter, LowRank, read_adapter
from glm4_intel.errors import Glm4Error
from glm4_intel.model_directory import sha256

_ROWS = 1 << 22
"""Values of a weight that are changed at a time, in f32."""


@dataclass(frozen=True)
class Merging:
    """An adapter that is merged, and what its change is multiplied by."""

    adapter: Adapter
    scale: float = 1.0

    def record(self) -> dict[str, Any]:
        """What the manifest says of it."""
        adapter = self.adapter
        return {"name": adapter.path.resolve().name, "kind": adapter.kind, "scale": self.scale, "base": adapter.base,
                "sha256": sha256(adapter.file)}  # fmt: skip


def parse_merging(text: str) -> tuple[Path, float]:
    """A folder and its scale, of DIR or DIR:SCALE. Raises Glm4Error for a scale that is no number."""
    folder, colon, scale = text.rpartition(":")
    if not colon or "/" in scale or "\\" in scale:
        return Path(text), 1.0
    try:
        value = float(scale)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise Glm4Error(f"--adapter {text} has the scale {scale!r}, which is no number", "Give DIR:0.5, or DIR alone.")
    return Path(folder), value


def read_mergings(given: Sequence[tuple[Path, float]], config: Mapping[str, Any]) -> tuple[Merging, ...]:
    """The adapters to merge, in their order. Raises Glm4Error for one that can't be merged into such a model."""
    mergings = tuple(Merging(read_adapter(folder, config), scale) for folder, scale in given)
    for merging in mergings:
        adapter = merging.adapter
        if adapter.prefix:
            raise Glm4Error(
                f"{adapter.path} is P-Tuning v2, whose virtual tokens are no weights to merge",
                "Export without it, and name it when the model is loaded: --adapter NAME=DIR",
            )
        if adapter.replaced and merging.scale != 1:
            raise Glm4Error(f"{adapter.path} replaces whole tensors, which have no scale", "Leave the scale out.")
        if config.get("tie_word_embeddings") and _touches_head(adapter):
            raise Glm4Error(f"{adapter.path} changes lm_head, which this model ties to its embedding")
    return mergings


def _touches_head(adapter: Adapter) -> bool:
    return "lm_head" in adapter.products or not adapter.replaced.keys().isdisjoint(
        ("lm_head.weight", "model.embed_tokens.weight")
    )


def merge(
    model: PreTrainedModel, mergings: Sequence[Merging], folder: Path, advance: Callable[[int], None]
) -> mmap.mmap | None:
    """Merge adapters into the model's weights, in place; what is changed moves into a file in `folder` without a name.

    The changed weights may be larger than the memory: each is written in its own type, and read from the file again
    when it is compressed. What is returned keeps the file; None where nothing is changed. `advance` is told the bytes
    of each weight that is done. Raises Glm4Error for a tensor that the model has not.
    """
    weights = dict(model.named_parameters())
    names = {_weight_name(product) for merging in mergings for product in merging.adapter.products}
    names |= {name for merging in mergings for name in _whole_names(merging.adapter)}
    _require_known(names, weights, mergings)
    if not names:
        return None
    sizes = {name: -(-weights[name].nbytes // 64) * 64 for name in weights if name in names}
    with TemporaryFile(dir=folder, prefix="merged.") as file:
        file.truncate(sum(sizes.values()))
        room, at = mmap.mmap(file.fileno(), sum(sizes.values())), 0
    for name, size in sizes.items():
        old = weights[name]
        new = torch.frombuffer(room, dtype=old.dtype, count=old.numel(), offset=at).reshape(old.shape)
        _write_merged(name, old, new, mergings)
        module, _, own = name.rpartition(".")
        setattr(model.get_submodule(module), own, torch.nn.Parameter(new, requires_grad=False))
        at += size
        advance(old.nbytes)
    return room


def _weight_name(product: str) -> str:
    return f"{'' if product == 'lm_head' else 'model.'}{product}.weight"


def _whole_names(adapter: Adapter) -> list[str]:
    """The tensors that it replaces, and the biases that its products add to."""
    biased = [product for product, change in adapter.products.items() if change.bias is not None]
    return [*adapter.replaced, *(_weight_name(product).removesuffix("weight") + "bias" for product in biased)]


def _require_known(names: set[str], weights: Mapping[str, Any], mergings: Sequence[Merging]) -> None:
    if unknown := sorted(names - weights.keys()):
        owner = next(each.adapter for each in mergings if unknown[0] in
                     {*_whole_names(each.adapter), *map(_weight_name, each.adapter.products)})  # fmt: skip
        raise Glm4Error(f"{owner.path} changes {unknown[0]}, which this model has not", "Give the base that it is for.")


@torch.no_grad()
def _write_merged(name: str, old: torch.Tensor, new: torch.Tensor, mergings: Sequence[Merging]) -> None:
    """The tensor with every adapter's change, by blocks of rows, rounded to its own type once."""
    step = max(1, _ROWS // max(1, old[0].numel()))
    for first in range(0, len(old), step):
        rows = old[first : first + step].float()
        for merging in mergings:
            rows = _changed(name, rows, first, merging)
        new[first : first + step] = rows


def _changed(name: str, rows: torch.Tensor, first: int, merging: Merging) -> torch.Tensor:
    """Rows of a tensor, from `first` on, with one adapter's change."""
    adapter, count = merging.adapter, len(rows)
    whole = adapter.replaced.get(name)
    if whole is not None:
        rows = torch.from_numpy(whole[first : first + count].copy())
    module, _, kind = name.rpartition(".")
    change = adapter.products.get(module.removeprefix("model."))
    if change is None:
        return rows
    part = change.rows(first, count)
    if kind == "bias":
        return rows if part.bias is None else rows + torch.from_numpy(part.bias * part.scale * merging.scale)
    return _with_lengths(rows + torch.from_numpy(part.delta(merging.scale)), part)


def _with_lengths(rows: torch.Tensor, part: LowRank) -> torch.Tensor:
    """DoRA: each row of the changed weight is given the length that was learnt for it (arXiv 2402.09353, eq. 5)."""
    if part.magnitude is None:
        return rows
    return rows * (torch.from_numpy(part.magnitude) / rows.norm(dim=1)).unsqueeze(1)
