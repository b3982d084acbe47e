"""A GLM-4's products and tensors by the names that both layouts of checkpoints give them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...model_directory.weight_shapes import SAME_VALUES, product_shapes

GLM_LAYER, CHATGLM_LAYER = "model.layers.", "transformer.encoder.layers."
_CHATGLM_PRODUCTS = {
    "self_attn.o_proj": "self_attention.dense",
    "mlp.gate_up_proj": "mlp.dense_h_to_4h",
    "mlp.down_proj": "mlp.dense_4h_to_h",
}
_CHATGLM_TENSORS = {
    "model.embed_tokens.weight": "transformer.embedding.word_embeddings.weight",
    "model.norm.weight": "transformer.encoder.final_layernorm.weight",
    "lm_head.weight": "transformer.output_layer.weight",
}


@dataclass(frozen=True)
class Part:
    """A product that a module computes, or computes among others: `rows` rows of its weight, from `first` on."""

    product: str
    """For example layers.0.self_attn.q_proj, or lm_head."""
    first: int
    rows: int


@dataclass(frozen=True)
class Module:
    """A linear layer of a checkpoint: its weight's shape, and the products that its rows are."""

    rows: int
    columns: int
    parts: tuple[Part, ...]


def tensor_name(product: str, kind: str = "weight") -> str:
    """A product's weight or bias by transformers' name."""
    return f"{'' if product == 'lm_head' else 'model.'}{product}.{kind}"


def modules(config: Mapping[str, Any], chatglm: bool) -> dict[str, Module]:
    """Every linear layer by its name in the `chatglm` layout, or in transformers' own."""
    shapes = product_shapes(config)
    named = _chatglm_modules(shapes) if chatglm else _glm_modules(shapes)
    return dict(named)


def _glm_modules(shapes: Mapping[str, tuple[int, int]]) -> Iterator[tuple[str, Module]]:
    for product, shape in shapes.items():
        yield tensor_name(product).removesuffix(".weight"), _whole(product, shape)


def _chatglm_modules(shapes: Mapping[str, tuple[int, int]]) -> Iterator[tuple[str, Module]]:
    for product, shape in shapes.items():
        prefix, _, name = product.partition(".self_attn.")
        if product == "lm_head":
            yield "transformer.output_layer", _whole(product, shape)
        elif name == "q_proj":
            yield f"transformer.encoder.{prefix}.self_attention.query_key_value", _fused(prefix, shapes)
        elif name not in ("k_proj", "v_proj"):
            number, kind = product.split(".", 2)[1:]
            yield f"{CHATGLM_LAYER}{number}.{_CHATGLM_PRODUCTS[kind]}", _whole(product, shape)


def _whole(product: str, shape: tuple[int, int]) -> Module:
    return Module(*shape, (Part(product, 0, shape[0]),))


def _fused(layer: str, shapes: Mapping[str, tuple[int, int]]) -> Module:
    """Queries, keys and values below each other."""
    parts, rows, columns = [], 0, 0
    for name in SAME_VALUES:
        product = f"{layer}.{name}"
        count, columns = shapes[product]
        parts.append(Part(product, rows, count))
        rows += count
    return Module(rows, columns, tuple(parts))


def whole_tensors(config: Mapping[str, Any], chatglm: bool) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The other tensors that an adapter may bring in whole, by their names in a layout: (our name, shape)."""
    width, vocabulary = config["hidden_size"], config["vocab_size"]
    found: dict[str, tuple[str, tuple[int, ...]]] = {
        name: (name, (width,) if "norm" in name else (vocabulary, width)) for name in _CHATGLM_TENSORS
    }
    for number in range(config["num_hidden_layers"]):
        for norm in ("input_layernorm", "post_attention_layernorm"):
            name = f"{GLM_LAYER}{number}.{norm}.weight"
            found[name] = name, (width,)
    if not chatglm:
        return found
    return {_CHATGLM_TENSORS.get(name, name.replace(GLM_LAYER, CHATGLM_LAYER)): each for name, each in found.items()}
