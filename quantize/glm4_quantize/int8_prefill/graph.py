"""The blocks between attentions, and the `If` that takes the place of each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Any

import numpy as np
from openvino import Model
from openvino import opset13 as op

from .arithmetic import to_int8
from .weights import Int8Weight, products

TOKENS = 40
"""Passes of more tokens take the int8 way: on a 16-core Xeon with AMX a block of 32 tokens was faster in int4, and one
of 64 in int8."""
BLOCK = "int8_prefill.block."
"""What the `If`s are named, before their number."""
_EMBEDDING = "__module.model.embed_tokens/"


@dataclass(frozen=True)
class _Block:
    """The values that enter the part of the graph between two attentions, and those that leave it.

    What enters is the attention's output (but for the first block) and the residual stream; what leaves, the next
    layer's queries, keys and values (but for the last) and the residual stream (but for the first, which only reads).
    """

    inputs: list[Any]
    outputs: list[Any]


def add_int8_prefill(model: Model, weights: Mapping[str, Int8Weight], tokens: int = TOKENS) -> int:
    """Give every block a branch in int8 for passes of more than `tokens` tokens, in place; return how many there are.

    `weights` are by the names of `products`; a product without stays as it is in both branches.
    """
    _settle_splits(model)
    blocks, many = list(_blocks(model)), _more_than(tokens, _last(model, _EMBEDDING))
    spare = model.clone()  # what is cut out of it becomes the branches
    copies = {node.get_friendly_name(): node for node in spare.get_ordered_ops()}
    stream: list[Any] = []
    for number, block in enumerate(blocks):
        int4 = _cut_out(block, copies)
        int8 = int4.clone()
        to_int8(int8, weights)
        branch = _branch(block.inputs[:1] + (stream or block.inputs[1:]), many, int8, int4)
        branch.set_friendly_name(f"{BLOCK}{number}")
        for value, new in zip(block.outputs, branch.outputs(), strict=True):
            for target in value.get_target_inputs():
                target.replace_source_output(new)
        stream = branch.outputs()[3:]
    model.validate_nodes_and_infer_types()
    return len(blocks)


def _settle_splits(model: Model) -> None:
    """Make constants of the lengths that gate and up are split to: they are computed once for all layers, in a block
    of the first, where no other block could reach them."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "VariadicSplit":
            lengths = [output.get_partial_shape()[-1].get_length() for output in node.outputs()]
            node.input(2).replace_source_output(op.constant(np.array(lengths)).output(0))


def _blocks(model: Model) -> Iterator[_Block]:
    """The parts before the first attention, between each two, and behind the last."""
    found = products(model)
    entering = [_last(model, _EMBEDDING)]
    stream: list[Any] = []
    for layer in takewhile(lambda layer: f"layers.{layer}.self_attn.o_proj" in found, count()):
        prefix = f"__module.model.layers.{layer}"
        projected = [_last(model, f"{prefix}.self_attn.{each}_proj/") for each in "qkv"]
        yield _Block(entering, projected + stream)
        attention = found[f"layers.{layer}.self_attn.o_proj"].input_value(0)
        entering = [attention, *(stream or entering)]
        stream = [_last(model, f"{prefix}/")]
    yield _Block(entering, stream)


def _last(model: Model, prefix: str) -> Any:
    """The output of the last operation that the prefix names."""
    return [node for node in model.get_ordered_ops() if node.get_friendly_name().startswith(prefix)][-1].output(0)


def _more_than(tokens: int, stream: Any) -> Any:
    """Whether a pass has more tokens: a boolean [1] from the first two axes of [batch, tokens, width]."""
    zero = op.constant(np.array([0]))
    axes = op.gather(op.shape_of(stream), op.constant(np.array([0, 1])), op.constant(np.array(0)))
    return op.greater(op.reduce_prod(axes, zero, keep_dims=True), op.constant(np.array([tokens]))).output(0)


def _cut_out(block: _Block, copies: Mapping[str, Any]) -> Model:
    """The block as a model of its own, made of the copies of its operations."""
    inputs, outputs = ([_copy(value, copies) for value in values] for values in (block.inputs, block.outputs))
    within = _between(inputs, outputs)
    parameters = []
    for value in inputs:
        parameter = op.parameter(value.get_partial_shape(), value.get_element_type())
        for target in value.get_target_inputs():
            if target.get_node().get_friendly_name() in within:  # a stream enters two blocks
                target.replace_source_output(parameter.output(0))
        parameters.append(parameter)
    return Model([op.result(each) for each in outputs], parameters)


def _copy(value: Any, copies: Mapping[str, Any]) -> Any:
    return copies[value.get_node().get_friendly_name()].output(value.get_index())


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
