"""P-Tuning v2: learnt keys and values at the virtual tokens that a prompt begins with."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from openvino import opset13 as op

from ...adapters import Prefix
from ...openvino_ir import joined_cache
from .constants import floats, integer, integers


def put_learnt_values(attentions: Sequence[Any], marks: Any, positions: Any, prefixes: Sequence[Prefix | None]) -> None:
    """Take the virtual tokens' keys and values from tables, in every attention, in place.

    `marks` [batch, tokens, adapters] is 1 at an adapter's virtual tokens; `positions` count them from 0.
    """
    present = [each for each in prefixes if each]
    starts = np.cumsum([0, *(each.tokens if each else 0 for each in prefixes)])[:-1]
    which = floats([1.0 if each else 0.0 for each in prefixes])
    virtual = op.reduce_max(op.multiply(marks, which), integers(-1), keep_dims=False)
    start = op.convert(op.reduce_sum(op.multiply(marks, floats(starts)), integers(-1), keep_dims=False), "i64")
    total = sum(each.tokens for each in present)
    rows = op.minimum(op.add(start, positions), integer(total - 1))
    is_virtual = op.unsqueeze(op.greater(virtual, floats(0.5)), integers(1, 3))
    for layer, attention in enumerate(attentions):
        for which_of, place in enumerate((1, 2)):
            table = np.concatenate([each.values[layer, which_of] for each in present])
            learnt = op.transpose(op.gather(floats(table), rows, integer(0)), integers(0, 2, 1, 3))
            entering = joined_cache(attention.input_value(place)).input(1)
            entering.replace_source_output(op.select(is_virtual, learnt, entering.get_source_output()).output(0))


def real_positions(positions: Any, chosen: Any, prefixes: Sequence[Prefix | None]) -> Any:
    """The positions that tokens had in training: behind virtual tokens that were not counted, from 0 on."""
    left_out = floats([[each.tokens if each and each.from_zero else 0] for each in prefixes])
    shift = op.squeeze(op.convert(op.round(op.matmul(chosen, left_out, False, False)), "i64"), integers(-1))
    return op.maximum(op.subtract(positions, shift), integer(0))
