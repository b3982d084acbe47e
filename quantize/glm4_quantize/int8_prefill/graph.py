"""The blocks between attentions, and the `If` that takes the place of each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Any

import numpy as np
from openvino import Model
from openvino import opset13 as op

from glm4_intel.backends.openvino_ir import INT8_PREFILL, products

from .arithmetic import to_int8
from .weights import Int8Weight

TOKENS = 40
"""Passes of more tokens take the int8 way: on a 16-core Xeon with AMX a block of 32 tokens was faster in int4, and one
of 64 in int8."""
_EMBEDDING = "__module.model.embed_tokens"


@dataclass(frozen=True)
class _Block:
    """The values that enter the part of the graph between two attentions, and those that leave it.

    What enters is the attention's output (but for the first block) and the residual stream; what leaves, the next
    layer's queries, keys and values (but for the last) and the residual stream (but for the first, which only reads).
    """

    inputs: list[Any]
    outputs: list[Any]


def add_int8_prefill(model: Model, original: Model, weights: Mapping[str, Int8Weight], tokens: int = TOKENS) -> int:
    """Give every block a branch in int8 for passes of more than `tokens` tokens, in place; return how many there are.

    `original` is the model before its compression, which may have changed more than weights (AWQ does). `weights` are
    by the names of `products`; a product without has in both branches those of `model`.
    """
    int8, int4 = _blocks_apart(original), _blocks_apart(model)
    blocks = list(_blocks(model))
    many = _more_than(tokens, blocks[0].inputs[0])
    stream: list[Any] = []
    for number, (block, then, otherwise) in enumerate(zip(blocks, int8, int4, strict=True)):
        to_int8(then, weights, products(otherwise.clone()))
        branch = _branch(block.inputs[:1] + (stream or block.inputs[1:]), many, then, otherwise)
        branch.set_friendly_name(f"{INT8_PREFILL}{number}")
        for value, new in zip(block.outputs, branch.outputs(), strict=True):
            for target in value.get_target_inputs():
                target.replace_source_output(new)
        stream = branch.outputs()[3:]
    model.validate_nodes_and_infer_types()
    return len(blocks)


def _blocks_apart(model: Model) -> list[Model]:
    """Each block as a model of its own; the model stays as it is."""
    copy = model.clone()
    _settle_splits(copy)
    return [_cut_out(block) for block in list(_blocks(copy))]


def _settle_splits(model: Model) -> None:
    """Make constants of the lengths that gate and up are split to: they are computed once for all layers, in a block
    of the first, where no other block could reach them."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "VariadicSplit":
            lengths = [output.get_partial_shape()[-1].get_length() for output in node.outputs()]
            node.input(2).replace_source_output(op.constant(np.array(lengths)).output(0))


def _blocks(model: Model) -> Iterator[_Block]:
    """The parts before the first attention, between each two, and behind the last."""
    found, ends = products(model), _ends(model)
    entering = [ends[_EMBEDDING]]
    stream: list[Any] = []
    for layer in takewhile(lambda layer: f"layers.{layer}.self_attn.o_proj" in found, count()):
        prefix = f"__module.model.layers.{layer}"
        projected = [ends[f"{prefix}.self_attn.{each}_proj"] for each in "qkv"]
        yield _Block(entering, projected + stream)
        attention = found[f"layers.{layer}.self_attn.o_proj"].input_value(0)
        entering = [attention, *(stream or entering)]
        stream = [ends[prefix]]
    yield _Block(entering, stream)


def _ends(model: Model) -> dict[str, Any]:
    """The outputs of the last operations of all modules, by what their names begin with."""
    nodes = [node for node in model.get_ordered_ops() if node.get_output_size()]
    return {node.get_friendly_name().partition("/")[0]: node.output(0) for node in nodes}


def _more_than(tokens: int, stream: Any) -> Any:
    """Whether a pass has more tokens: a boolean [1] from the first two axes of [batch, tokens, width]."""
    zero = op.constant(np.array([0]))
    axes = op.gather(op.shape_of(stream), op.constant(np.array([0, 1])), op.constant(np.array(0)))
    return op.greater(op.reduce_prod(axes, zero, keep_dims=True), op.constant(np.array([tokens]))).output(0)


def _cut_out(block: _Block) -> Model:
    """The block as a model of its own, with its operations taken out of the graph that they are in."""
    within = _between(block.inputs, block.outputs)
    parameters = []
    for value in block.inputs:
        parameter = op.parameter(value.get_partial_shape(), value.get_element_type())
        for target in value.get_target_inputs():
            if target.get_node().get_friendly_name() in within:  # a stream enters two blocks
                target.replace_source_output(parameter.output(0))
        parameters.append(parameter)
    return Model([op.result(each) for each in block.outputs], parameters)


def _between(inputs: list[Any], outputs: list[Any]) -> set[str]:
    """The names of the operations that compute the outputs from the inputs."""
    begun, found = {value.get_node().get_friendly_name() for value in inputs}, set()
    ahead = [value.get_node() for value in outputs]
    while ahead:
        node = ahead.pop()
        name = node.get_friendly_name()
        if name not in begun and name not in found:
            found.add(name)
            ahead += [value.get_node() for value in node.input_values()]
    return found


def _branch(inputs: list[Any], condition: Any, then: Model, otherwise: Model) -> Any:
    """An `If` over two models of the same form."""
    branch = op.if_op(condition)
    branch.set_then_body(then)
    branch.set_else_body(otherwise)
    for value, *parameters in zip(inputs, then.get_parameters(), otherwise.get_parameters(), strict=True):
        branch.set_input(value, *parameters)
    for results in zip(then.get_results(), otherwise.get_results(), strict=True):
        branch.set_output(*results)
    return branch
