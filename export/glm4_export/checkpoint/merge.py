"""Adapters merged into a checkpoint's weights, one after another, before anything is compressed."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from glm4_intel.backends.adapters import Adapter, LowRank, tensor_name
from glm4_intel.errors import Glm4Error
from glm4_quantize.mapped_file import mapped_file

from .adapters import Merging

_VALUES = 1 << 22
"""Values of a weight that are changed at a time, in f32."""


def merge(model: PreTrainedModel, mergings: Sequence[Merging], folder: Path, advance: Callable[[int], None]) -> None:
    """Merge adapters into the model's weights, in place; what is changed moves into a file in `folder` without a name.

    The changed weights may be larger than the memory: each is written in its own type, and read from the file again
    when it is compressed. `advance` is told the bytes of each weight that is done. Raises Glm4Error for a tensor that
    the model has not, OSError where the disk has no room for the file.
    """
    weights = dict(model.named_parameters())
    names = {tensor_name(product) for merging in mergings for product in merging.adapter.products}
    names |= {name for merging in mergings for name in _whole_names(merging.adapter)}
    _require_known(names, weights, mergings)
    changed = {name: weight for name, weight in weights.items() if name in names}
    room, at = mapped_file(folder, "merged.", sum(_padded(weight) for weight in changed.values())), 0
    for name, old in changed.items():
        new = torch.frombuffer(room, dtype=old.dtype, count=old.numel(), offset=at).reshape(old.shape)
        _write_merged(name, old, new, mergings)
        module, _, own = name.rpartition(".")
        setattr(model.get_submodule(module), own, torch.nn.Parameter(new, requires_grad=False))
        at += _padded(old)
        advance(old.nbytes)


def _padded(weight: torch.Tensor) -> int:
    """Its bytes in the file, where the next one begins at a cache line."""
    return -(-weight.nbytes // 64) * 64


def _whole_names(adapter: Adapter) -> list[str]:
    """The tensors that it replaces, and the biases that its products add to."""
    biased = [product for product, change in adapter.products.items() if change.bias is not None]
    return [*adapter.replaced, *(tensor_name(product, "bias") for product in biased)]


def _require_known(names: set[str], weights: Mapping[str, Any], mergings: Sequence[Merging]) -> None:
    if unknown := sorted(names - weights.keys()):
        owner = next(each.adapter for each in mergings if unknown[0] in
                     {*_whole_names(each.adapter), *map(tensor_name, each.adapter.products)})  # fmt: skip
        raise Glm4Error(f"{owner.path} changes {unknown[0]}, which this model has not", "Give the base that it is for.")


@torch.no_grad()
def _write_merged(name: str, old: torch.Tensor, new: torch.Tensor, mergings: Sequence[Merging]) -> None:
    """The tensor with every adapter's change, by blocks of rows, rounded to its own type once."""
    step = max(1, _VALUES // max(1, old[0].numel()))
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
