"""What making a model directory takes, and whether this machine has it."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glm4_intel.errors import Glm4Error
from glm4_intel.machine.memory import address_space, available_memory


@dataclass(frozen=True)
class Estimate:
    """Bytes of the model directory, of anonymous memory at its peak, and of files and libraries that are mapped."""

    output: int
    memory: int
    mapped: int


def require_room(needed: Estimate, out: Path) -> None:
    """Refuse what this disk or this memory can't hold, with the numbers."""
    hint = "--ignore-limits tries all the same."
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


def layer_weights(config: dict[str, Any]) -> int:
    """The weights of a decoder layer."""
    width, heads, head = config["hidden_size"], config["num_attention_heads"], config["head_dim"]
    attention = width * head * (2 * heads + 2 * config["num_key_value_heads"])
    return int(attention + 3 * width * config["intermediate_size"])


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
