"""What an export to OpenVINO takes, from the config and the recipe alone."""

from glm4_intel.devices import footprint
from glm4_quantize.recipes import PER_ROW, Recipe

from ..checkpoint.source import Checkpoint
from ..estimate import Estimate

_LIBRARIES = 700 << 20
"""PyTorch, OpenVINO and the graph: 0.45 to 0.7 GiB beside the weights, measured at mini size and at 9B."""
_MAPPED_LIBRARIES = 2 << 30
_TEXTS = 32 << 20
"""Tokenizers and settings, beside the weights of the output."""
_FIXED, _RATE = 10.0, 3.0e8
"""Seconds whatever the size, and bytes of the checkpoint a second: 72 s for the 9B (benchmarks, "Exporting the 9B")."""
_BITS = {"int4_sym": 4, "int4_asym": 4, "int8_sym": 8, "int8_asym": 8, "fp16": 16}


def estimate(checkpoint: Checkpoint, recipe: Recipe) -> Estimate:
    """What exporting this checkpoint with this recipe takes."""
    own, weights = checkpoint.weight_bytes, _compressed(checkpoint, recipe)
    memory = weights + _LIBRARIES
    if recipe.mode == "none":  # they stay in their files
        memory = _LIBRARIES
    if recipe.needs_data:  # the original runs, repacked to f32 by a processor without bf16
        memory = 2 * own + weights + _LIBRARIES
    seconds = None if recipe.methods or recipe.needs_data else _FIXED + own / _RATE
    int8 = sum(_second_way(checkpoint, recipe).values())  # lie in a file until the IR is written
    return Estimate(weights + _TEXTS, memory, own + _MAPPED_LIBRARIES, seconds, scratch=int8)


def _compressed(checkpoint: Checkpoint, recipe: Recipe) -> int:
    """Bytes of the weights as the recipe leaves them."""
    if recipe.mode == "none":
        return checkpoint.weight_bytes
    config = checkpoint.config
    embedding = config["vocab_size"] * config["hidden_size"]
    layers = config["num_hidden_layers"] * footprint.layer_weights(config)
    primary, backup = _bits(recipe.mode, recipe.group_size), _bits(recipe.backup, PER_ROW)
    head = primary if recipe.lm_head == "mode" else backup
    if not recipe.is_int4:
        backup = head = primary
    int8 = sum(_second_way(checkpoint, recipe).values()) * _bits("int8_sym", PER_ROW)
    bits = int8 + layers * (recipe.ratio * primary + (1 - recipe.ratio) * backup) + embedding * (backup + head)
    return int(bits / 8)


def _second_way(checkpoint: Checkpoint, recipe: Recipe) -> dict[str, int]:
    """The weights of each product that prompts compute in int8."""
    return footprint.in_two_ways(checkpoint.config, recipe.int8_prefill_except) if recipe.int8_prefill else {}


def _bits(mode: str, group: int) -> float:
    """Bits a weight, its share of the scale (f16) and of the zero point included."""
    bits = _BITS.get(mode, 16)
    if bits == 16 or group == PER_ROW:
        return bits + 0.02
    return bits + (16 + (bits if mode.endswith("asym") else 0)) / group
