"""A block's products in int8: each token's activations are divided by a unit of its own, and multiplied by it again.

The largest magnitude of a token becomes 127. A division by the token's unit before a FakeQuantize of a constant range
is what the plugin's low-precision transformations take for int8 activations of a dynamic range.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
from openvino import Model
from openvino import opset13 as op

from glm4_intel.backends.openvino_ir import products

from .weights import Int8Weight

_SMALLEST = 1e-6
"""A token whose activations are all below it becomes zeros."""
_LAST = np.array(-1)


@dataclass(frozen=True)
class _Quantized:
    """Activations [batch, tokens, width] divided by `unit` [batch, tokens, 1] and rounded to 256 levels of -1 to 1."""

    values: Any
    unit: Any


def to_int8(block: Model, weights: Mapping[str, Int8Weight], others: Mapping[str, Any]) -> None:
    """Put int8 products in the place of those that have weights, in place; the rest takes those of its like in
    `others`."""
    found: dict[str, tuple[Any, Int8Weight]] = {}
    for name, node in products(block).items():
        if name in weights:
            found[name.split(".", 2)[2]] = node, weights[name]
        else:
            node.input(1).replace_source_output(others[name].input_value(1))
    deferred = None
    if found.keys() >= {"mlp.gate_up_proj", "mlp.down_proj"}:
        node, down = found["mlp.down_proj"]
        deferred = _gate_and_up(*found.pop("mlp.gate_up_proj"), down.divisor)
        found["mlp.down_proj"] = node, replace(down, divisor=None)
    entering: dict[str, _Quantized] = {}
    for name, (node, weight) in found.items():
        source = node.input_value(0).get_node().get_friendly_name()
        given = entering.setdefault(source, _quantized(_smoothed(node.input_value(0), weight)))
        made = op.multiply(_product(given.values, weight), given.unit)
        if name == "mlp.down_proj" and deferred is not None:
            made = op.multiply(made, deferred)
        _replace(node.output(0), made.output(0))
    block.validate_nodes_and_infer_types()


def _gate_and_up(node: Any, weight: Int8Weight, divisor: np.ndarray | None) -> Any:
    """Put two products in the place of gate and up and their split; return the unit that up is not multiplied by.

    What follows up is a product with the gate and then down's own quantization, which a factor of the whole token does
    not change: so it is left to the end, where a token has less values. What smooths down's activations, `divisor`, is
    taken from up's scales.
    """
    entering = _quantized(_smoothed(node.input_value(0), weight))
    (split,) = (target.get_node() for target in node.output(0).get_target_inputs())
    upper, lower = weight.halves()
    if divisor is not None:
        lower = replace(lower, scale=lower.scale / divisor[:, None])
    gate, up = _product(entering.values, upper), _product(entering.values, lower)
    _replace(split.output(0), op.multiply(gate, entering.unit).output(0))
    _replace(split.output(1), up.output(0))
    return entering.unit


def _smoothed(value: Any, weight: Int8Weight) -> Any:
    """The activations as the weight expects them; the plugin joins the factors with those of the norm before."""
    return value if weight.divisor is None else op.multiply(value, op.constant(1 / weight.divisor)).output(0)


def _quantized(value: Any) -> _Quantized:
    """The largest magnitude is taken by Abs: through ReduceMin and ReduceMax the plugin moves the scales of a product
    before them, which differ by row, as if they were one (KL 1.5)."""
    largest = op.reduce_max(op.abs(value), op.constant(_LAST[None]), keep_dims=True)
    unit = op.multiply(op.maximum(largest, _f32(_SMALLEST)), _f32(128 / 127))
    ends = _f32(-1), _f32(127 / 128)
    return _Quantized(op.fake_quantize(op.divide(value, unit), *ends, *ends, 256), unit)


def _product(values: Any, weight: Int8Weight) -> Any:
    """values · weightᵀ, the sum over the weight's parts."""
    ways = op.split(values, op.constant(_LAST), len(weight.parts)).outputs() if len(weight.parts) > 1 else [values]
    products = [
        op.matmul(way, _dequantized(part, weight.scale), False, True)
        for way, part in zip(ways, weight.parts, strict=True)
    ]
    return reduce(op.add, products)


def _dequantized(values: np.ndarray, scale: np.ndarray) -> Any:
    return op.multiply(op.convert(op.constant(values, shared_memory=True), "f32"), op.constant(scale))


def _replace(old: Any, new: Any) -> None:
    for target in old.get_target_inputs():
        target.replace_source_output(new)


def _f32(value: float) -> Any:
    return op.constant(np.float32(value))
