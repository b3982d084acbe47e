"""Which adapter a token's reply has: read from ids at its beginning, and from the KV cache afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from openvino import PartialShape, Type
from openvino import opset6 as stateful
from openvino import opset13 as op

from ...openvino_ir import joined_cache
from .constants import floats, integer, integers, last

_SHARP = 50.0
"""Marked keys score this, the others minus this: what is left to them is e⁻¹⁰⁰ each."""


@dataclass(frozen=True)
class Place:
    """One adapter's id, and how many tokens of it a prompt begins with."""

    id: int
    tokens: int
    virtual: bool = False
    """Whether they stand before the prompt's own tokens, and not for the first of them."""


@dataclass(frozen=True)
class Attention:
    """The model's own attention: its heads, and an example of it in the graph."""

    heads: int
    kv_heads: int
    size: int
    example: Any
    """A ScaledDotProductAttention node."""


def marks(ids: Any, positions: Any, places: Sequence[Place]) -> Any:
    """[batch, tokens, adapters] of 1 where a token is an adapter's, else 0."""
    same = op.equal(op.unsqueeze(ids, integer(-1)), integers(*(place.id for place in places)))
    begins = op.less(op.unsqueeze(positions, integer(-1)), integers(*(place.tokens for place in places)))
    return op.convert(op.logical_and(same, begins), "f32")


def marker_layer(marks: Any, count: int, attention: Attention, layer: int, batch: Any) -> tuple[Any, list[Any]]:
    """What an attention layer reads that carries `count` marks: [batch, tokens, adapters], one of them 1 or none.

    Also the two operations that keep its cache, which the model must hold on to. `layer` is its number, behind the
    model's own; `batch` is the number of sequences, [1].
    """
    one, axis = _unit(attention.size), integers(2, 3)
    any_mark = op.reduce_max(marks, integers(-1), keep_dims=False)
    ones = op.add(op.multiply(any_mark, floats(0)), floats(1))
    queries = _heads_of(op.unsqueeze(ones, axis), one * _SHARP * np.sqrt(attention.size), attention.heads)
    sign = op.subtract(op.multiply(any_mark, floats(2)), floats(1))
    keys = _heads_of(op.unsqueeze(sign, axis), one, attention.kv_heads)
    wide = op.matmul(marks, floats(np.eye(count, attention.size)), False, False)
    values = _heads_of(op.unsqueeze(wide, integers(2)), np.ones((1, 1, 1, 1)), attention.kv_heads)
    (all_keys, keep_keys), (all_values, keep_values) = (
        _cached(each, f"past_key_values.{layer}.{name}present.{layer}.{name}", attention, batch)
        for each, name in ((keys, "key"), (values, "value"))
    )
    mask = attention.example.input_value(3)
    spread = [_repeated(each, attention) for each in (all_keys, all_values)]
    read = op.transpose(op.scaled_dot_product_attention(queries, *spread, mask, causal=False), integers(0, 2, 1, 3))
    first_head = op.squeeze(op.slice(read, integers(0), integers(1), integers(1), integers(2)), integers(2))
    return last(first_head, 0, count), [keep_keys, keep_values]


def _unit(size: int) -> np.ndarray:
    """[1, 1, 1, size]: 1, then zeros."""
    found = np.zeros((1, 1, 1, size), np.float32)
    found[..., 0] = 1
    return found


def _heads_of(values: Any, factor: np.ndarray, heads: int) -> Any:
    """Values [batch, tokens, 1, 1 or size] times a factor, the same for each head: [batch, heads, tokens, size]."""
    return op.transpose(op.multiply(values, floats(np.repeat(factor, heads, axis=2))), integers(0, 2, 1, 3))


def _cached(current: Any, name: str, attention: Attention, batch: Any) -> tuple[Any, Any]:
    """What the cache holds and the current tokens behind it, and the operation that keeps both.

    In the form that the engine's conversion to paged attention looks for.
    """
    empty = op.broadcast(floats(0), op.concat([batch, integers(attention.kv_heads, 0, attention.size)], 0))
    shape = PartialShape([-1, attention.kv_heads, -1, attention.size])
    read = stateful.read_value(empty, name, Type.f32, shape)
    past = op.gather(read, beam_index(attention.example), integer(0))
    whole = op.concat([past, current], 2)
    return whole, stateful.assign(whole, name)


def _repeated(values: Any, attention: Attention) -> Any:
    """KV heads, each as often as queries share it."""
    shape, times = op.shape_of(values, "i64"), attention.heads // attention.kv_heads
    first, then = (op.gather(shape, integers(*axes), integer(0)) for axes in ((0, 1), (2, 3)))
    wide = op.broadcast(op.unsqueeze(values, integer(2)), op.concat([first, integers(times), then], 0), "BIDIRECTIONAL")
    return op.reshape(wide, integers(0, attention.heads, -1, attention.size), True)


def beam_index(attention: Any) -> Any:
    """The model's input that orders the cache's sequences."""
    return joined_cache(attention.input_value(1)).input_value(0).get_node().input_value(1)
