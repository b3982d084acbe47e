"""How much memory a model takes on a device, and how long a context that leaves room for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ..errors import Glm4Error
from ..model_directory import ModelDirectory
from ..model_directory.weight_shapes import head_size, layer_shapes, product_shapes

USEFUL_CONTEXT = 4096
"""Tokens of context that a model must have room for, or it is not worth loading."""
_VALUE_BYTES = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "u8": 1.13, "i8": 1.13, "u4": 0.63}
"""Bytes of a value in the KV cache, the scales of quantized ones included: two f32 for 64 values, in the worst case."""
_ENGINE = 256 << 20
"""What the engine and Python take besides: measured at nano size."""


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Bytes that a loaded model takes, by what they are for."""

    weights: int
    cache: int = 0
    """The KV cache, a draft model's included."""
    draft_model: int = 0
    """Its weights."""
    adapters: int = 0
    """Their weights."""
    engine: int = _ENGINE

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.draft_model + self.adapters + self.engine


def weights_bytes(path: Path) -> int:
    """Bytes of a model directory's weights; the engine repacks them into memory of its own at the first inference."""
    return sum(file.stat().st_size for pattern in ("openvino_model.bin", "*.safetensors")
               for file in path.glob(pattern))  # fmt: skip


def kv_token_bytes(config: Mapping[str, Any], precision: str = "f16") -> int:
    """Bytes that a token takes in the KV cache: keys and values of every layer and KV head of a model's config."""
    values = 2 * config["num_hidden_layers"] * config["num_key_value_heads"] * head_size(config)
    return int(values * _VALUE_BYTES.get(precision, 2.0))


def read_per_token(config: Mapping[str, Any], weights: int, context: int, embedding_value: int = 1) -> int:
    """Bytes that computing one token reads: all the weights but the embedding, and the KV cache so far.

    `weights` are their bytes, and `embedding_value` those of one value of the embedding.
    """
    embedding: int = config["vocab_size"] * config["hidden_size"] * embedding_value
    return weights - embedding + context * kv_token_bytes(config)


def one_way_bytes(directory: ModelDirectory) -> int:
    """Bytes of the weights without those of a second way for prompts, in int8: what computing one token reads."""
    recipe = directory.manifest.recipe if directory.manifest else {}
    second = in_two_ways(directory.config, recipe.get("int8_prefill_except", ())) if recipe.get("int8_prefill") else {}
    return weights_bytes(directory.path) - sum(second.values())


def layer_weights(config: Mapping[str, Any]) -> int:
    """The weights of a decoder layer."""
    return sum(outputs * inputs for outputs, inputs in layer_shapes(config).values())


def in_two_ways(config: Mapping[str, Any], left_out: Sequence[str] = ()) -> dict[str, int]:
    """The products that a second way for prompts computes, by names such as layers.0.mlp.down_proj, and the weights of
    each; those that a pattern of `left_out` matches stay in one way."""
    shapes = product_shapes(config)
    del shapes["lm_head"]
    return {name: rows * columns for name, (rows, columns) in shapes.items() if not is_left_out(name, left_out)}


def is_left_out(name: str, left_out: Sequence[str]) -> bool:
    """Whether a pattern, such as layers.3.* or *.down_proj, matches the name."""
    return any(fnmatchcase(name, pattern) for pattern in left_out)


def memory_needed(directory: ModelDirectory, tokens: int, precision: str = "f16") -> int:
    """Bytes for the weights and a conversation of so many tokens."""
    cache = tokens * kv_token_bytes(directory.config, precision)
    return Footprint(weights=weights_bytes(directory.path), cache=cache).total


def context_that_fits(
    directory: ModelDirectory, asked: int | None, bare: Footprint, token: int, room: int | None, device: str
) -> int:
    """Tokens of context: what was asked for, or what the model and the memory have room for.

    `bare` is the footprint with no conversation in it, `token` the bytes of a token in the cache, `room` the bytes of
    memory on `device`, None where it does not matter. Raises Glm4Error where they do not suffice, with the numbers.
    """
    longest = directory.context_length
    if asked and asked > longest:
        raise Glm4Error(f"The model's context is {longest:,} tokens, not {asked:,}", "Give a shorter --context.")
    wanted = asked or min(USEFUL_CONTEXT, longest)
    if room is None:
        return asked or longest
    fits = (room - bare.total) // token
    if fits < wanted:
        needed = bare.total + wanted * token
        raise Glm4Error(
            f"{directory.path} with {wanted:,} tokens of context needs about {needed / 1e9:.1f} GB of "
            f"memory on {device}, and {room / 1e9:.1f} GB are available",
            "Close other programs, or give a shorter --context or a smaller model; --ignore-limits tries all the same.",
        )
    return asked or min(longest, fits)
