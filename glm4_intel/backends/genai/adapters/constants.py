"""Short names for OpenVINO's constants."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from openvino import opset13 as op


def integers(*values: int) -> Any:
    """A constant [n] of 64-bit integers."""
    return op.constant(np.array(values, dtype=np.int64))


def integer(value: int) -> Any:
    """A constant of no axes."""
    return op.constant(np.int64(value))


def floats(values: Any) -> Any:
    """A constant of 32-bit numbers."""
    return op.constant(np.asarray(values, dtype=np.float32))


def halves(values: np.ndarray) -> Any:
    """A constant of 16-bit numbers, computed with as 32-bit ones: half to store and to read."""
    return op.convert(op.constant(values.astype(np.float16)), "f32")


def last(values: Any, first: int, count: int) -> Any:
    """A part of the last axis."""
    return op.slice(values, integers(first), integers(first + count), integers(1), integers(-1))


def part_sizes(sizes: Sequence[int]) -> Any:
    """The lengths that an axis is split to."""
    return integers(*sizes)
