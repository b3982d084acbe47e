"""The adapters that are to be merged into a checkpoint, read and held against it before any work begins."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glm4_intel.backends.adapters import Adapter, product_shapes, read_adapter, tensor_name
from glm4_intel.errors import Glm4Error
from glm4_intel.model_directory import sha256

from .source import Checkpoint


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
    if not math.isfinite(value):
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


def merged_bytes(mergings: Sequence[Merging], checkpoint: Checkpoint) -> int:
    """Bytes of the tensors that they change, in the checkpoint's own type."""
    shapes = product_shapes(checkpoint.config)
    sizes = {tensor_name(product): rows * columns for product, (rows, columns) in shapes.items()}
    tied = checkpoint.config.get("tie_word_embeddings")
    values = sum(sizes.values()) + (0 if tied else sizes["lm_head.weight"])  # the embedding's are as many
    changed = {tensor_name(product) for each in mergings for product in each.adapter.products}
    whole = {name: array.size for each in mergings for name, array in each.adapter.replaced.items()
             if name not in changed}  # fmt: skip
    return checkpoint.weight_bytes * (sum(sizes[name] for name in changed) + sum(whole.values())) // values


def _touches_head(adapter: Adapter) -> bool:
    return "lm_head" in adapter.products or not adapter.replaced.keys().isdisjoint(
        ("lm_head.weight", "model.embed_tokens.weight")
    )
