"""How much memory a model takes on a device, and how long a context that leaves room for."""

from collections.abc import Mapping
from typing import Any

from ..artifact import ModelDirectory

USEFUL_CONTEXT = 4096
"""Tokens of context that a model must have room for, or it is not worth loading."""
_VALUE_BYTES = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "u8": 1.13, "i8": 1.13, "u4": 0.63}
"""Bytes of a value in the KV cache, the scales of quantized ones included: two f32 for 64 values, in the worst case."""
_ENGINE = 256 << 20
"""What the engine and Python take besides: measured at nano size."""


def weights_bytes(directory: ModelDirectory) -> int:
    """Bytes of the weights; the engine repacks them into memory of its own at the first inference."""
    return sum(file.stat().st_size for pattern in ("openvino_model.bin", "*.safetensors")
               for file in directory.path.glob(pattern))  # fmt: skip


def kv_token_bytes(config: Mapping[str, Any], precision: str = "f16") -> int:
    """Bytes that a token takes in the KV cache: keys and values of every layer and KV head of a model's config."""
    head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    values = 2 * config["num_hidden_layers"] * config["num_key_value_heads"] * head
    return int(values * _VALUE_BYTES.get(precision, 2.0))


def memory_needed(directory: ModelDirectory, tokens: int, precision: str = "f16") -> int:
    """Bytes for the weights and a conversation of so many tokens."""
    return weights_bytes(directory) + _ENGINE + tokens * kv_token_bytes(directory.config, precision)


def longest_context(directory: ModelDirectory, room: int, precision: str = "f16") -> int:
    """Tokens of context that fit into `room` bytes beside the weights, at most the model's; 0 if the weights do not."""
    tokens = (room - memory_needed(directory, 0)) // kv_token_bytes(directory.config, precision)
    return max(0, min(tokens, directory.context_length))
