"""What an export will take, from the config and the recipe alone, and whether this machine has it."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glm4_intel.errors import Glm4Error
from glm4_intel.memory import address_space, available_memory
from glm4_quantize.recipes import PER_ROW, Recipe

from .source import Checkpoint

_LIBRARIES = 700 << 20
"""PyTorch, OpenVINO and the graph: 0.45 to 0.7 GiB beside the weights, measured at mini size and at 9B."""
_MAPPED_LIBRARIES = 2 << 30
_TEXTS = 32 << 20
"""Tokenizers and settings, beside the weights of the output."""
_BITS = {"int4_sym": 4, "int4_asym": 4, "int8_sym": 8, "int8_asym": 8, "fp16": 16}


@dataclass(frozen=True)
class Estimate:
    """Bytes of the model directory, of anonymous memory at its peak, and of files and libraries that are mapped."""

    output: int
    memory: int
    mapped: int


def estimate(checkpoint: Checkpoint, recipe: Recipe) -> Estimate:
    """What exporting this checkpoint with this recipe takes."""
    own, weights = checkpoint.weight_bytes, _compressed(checkpoint, recipe)
    memory = weights + _LIBRARIES
    if recipe.mode == "none":  # they stay in their files
        memory = _LIBRARIES
    if recipe.needs_data:  # the original runs, repacked to f32 by a processor without bf16
        memory = 2 * own + weights + _LIBRARIES
    return Estimate(weights + _TEXTS, memory, own + _MAPPED_LIBRARIES)


def require_room(checkpoint: Checkpoint, recipe: Recipe, out: Path) -> None:
    """Refuse an export that this disk or this memory can't hold, with the numbers."""
    require_room_for(estimate(checkpoint, recipe), out)


def require_room_for(needed: Estimate, out: Path) -> None:
    """Refuse what this disk or this memory can't hold, with the numbers."""
    hint = "--force tries all the same."
    folder = next(parent for parent in out.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    if free < needed.output:
        raise Glm4Error(
            f"The model directory needs about {_gb(needed.output)}, and {folder} has {_gb(free)} free",
            f"Free some space, or choose a folder on another disk. {hint}",
        )
    memory, addresses = available_memory(), address_space()
    if memory < needed.memory:
        raise Glm4Error(
            f"This export needs about {_gb(needed.memory)} of memory, and {_gb(memory)} are available",
            f"Close other programs, or choose a smaller recipe. {hint}",
        )
    if addresses is not None and addresses < needed.memory + needed.mapped:
        total = needed.memory + needed.mapped
        raise Glm4Error(
            f"This export needs about {_gb(total)} of address space, and ulimit -v leaves {_gb(addresses)}",
            f"Raise the limit. {hint}",
        )


def _compressed(checkpoint: Checkpoint, recipe: Recipe) -> int:
    """Bytes of the weights as the recipe leaves them."""
    if recipe.mode == "none":
        return checkpoint.weight_bytes
    config = checkpoint.config
    embedding = config["vocab_size"] * config["hidden_size"]
    layers = config["num_hidden_layers"] * layer_weights(config)
    primary, backup = _bits(recipe.mode, recipe.group_size), _bits(recipe.backup, PER_ROW)
    head = primary if recipe.lm_head == "mode" else backup
    if not recipe.is_int4:
        backup = head = primary
    bits = layers * (recipe.ratio * primary + (1 - recipe.ratio) * backup) + embedding * (backup + head)
    return int(bits / 8)


def _bits(mode: str, group: int) -> float:
    """Bits a weight, its share of the scale (f16) and of the zero point included."""
    bits = _BITS.get(mode, 16)
    if bits == 16 or group == PER_ROW:
        return bits + 0.02
    return bits + (16 + (bits if mode.endswith("asym") else 0)) / group


def layer_weights(config: dict[str, Any]) -> int:
    """The weights of a decoder layer."""
    width, heads, head = config["hidden_size"], config["num_attention_heads"], config["head_dim"]
    attention = width * head * (2 * heads + 2 * config["num_key_value_heads"])
    return int(attention + 3 * width * config["intermediate_size"])


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
