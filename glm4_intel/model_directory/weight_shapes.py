"""The products with weights of a GLM-4, and their shapes, from its config alone."""

from collections.abc import Mapping
from typing import Any

PRODUCTS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_up_proj",
            "mlp.down_proj")  # fmt: skip
"""Those of a decoder layer."""
SAME_VALUES = PRODUCTS[:3]
"""Those of a layer that are given the same values; each other product is given its own."""


def head_size(config: Mapping[str, Any]) -> int:
    """Values of an attention head."""
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def layer_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """The shape [outputs, inputs] of every weight of a decoder layer, for a config of transformers' own."""
    width, inner, head = config["hidden_size"], config["intermediate_size"], head_size(config)
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    shapes = ((queries, width), (keys, width), (keys, width), (width, queries), (2 * inner, width), (width, inner))
    return dict(zip(PRODUCTS, shapes, strict=True))


def product_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """The shape [outputs, inputs] of every product's weight, by names such as layers.0.mlp.down_proj, and lm_head."""
    layers = range(config["num_hidden_layers"])
    shapes = {f"layers.{number}.{name}": shape for number in layers for name, shape in layer_shapes(config).items()}
    return shapes | {"lm_head": (config["vocab_size"], config["hidden_size"])}
