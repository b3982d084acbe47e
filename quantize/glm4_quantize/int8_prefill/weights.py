"""The int8 weights of a model's products, from the checkpoint's own values, in a mapped file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import nncf
import numpy as np
import openvino
from nncf.openvino.graph.node_utils import get_const_value_as_ov_tensor
from nncf.quantization.algorithms.weight_compression.config import WeightCompressionConfig
from openvino import Model

from glm4_intel.backends.openvino_ir import products
from glm4_intel.devices.footprint import is_left_out

from ..mapped_file import mapped_file
from ..rowwise import Reader, from_memory, row_compressor

_BY_ROW = WeightCompressionConfig(nncf.CompressWeightsMode.INT8_SYM, group_size=-1)
_LONG_ROW = 8192
"""Columns from which a weight is kept in two halves: AMX multiplied GLM-4-9B's rows of 13,696 in a sixth less time."""


@dataclass(frozen=True)
class Int8Weight:
    """A weight as int8, in parts [rows, columns] that lie side by side, and the float32 scale [rows, 1] of each row."""

    parts: tuple[np.ndarray, ...]
    scale: np.ndarray
    divisor: np.ndarray | None = None
    """What the activations [columns] are divided by before they enter, where they are smoothed."""

    def halves(self) -> "tuple[Int8Weight, Int8Weight]":
        """The upper half of the rows, and the lower."""
        middle = len(self.scale) // 2
        return self._rows(slice(middle)), self._rows(slice(middle, None))

    def _rows(self, which: slice) -> "Int8Weight":
        return Int8Weight(tuple(part[which] for part in self.parts), self.scale[which], self.divisor)


@contextmanager
def int8_weights(
    model: Model,
    folder: Path,
    advance: Callable[[int], None] = lambda size: None,
    read: Reader = from_memory,
    left_out: Sequence[str] = (),
    divisors: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> Iterator[dict[str, Int8Weight]]:
    """The weights of the model's products by their names, symmetric by row, each the nearest to its own value.

    They are kept in a file in `folder` that is gone at the end, since they may be larger than the memory. `advance` is
    told the bytes of each weight that is done, `read` knows a faster way to a weight's bytes. Products that a pattern
    of `left_out` matches get none; the columns of those with `divisors` are multiplied by them first. Raises Glm4Error
    for a weight that is not finite, OSError where the disk has no room for them.
    """
    found = {name: _constant(node) for name, node in products(model).items() if not is_left_out(name, left_out)}
    size = sum(tensor.get_size() for tensor in found.values())
    kept, at = np.frombuffer(mapped_file(folder, "int8.", size), np.int8), 0
    with row_compressor(read) as compressor:
        weights = {}
        for name, tensor in found.items():
            values = compressor.compress(tensor, _BY_ROW, divisors.get(name))
            room, at = kept[at : at + tensor.get_size()], at + tensor.get_size()
            weights[name] = _written(values.tensor.data.data, values.scale.data, room, divisors.get(name))
            advance(tensor.byte_size)
        yield weights


def _constant(product: Any) -> openvino.Tensor:
    """The weight of a product, in the checkpoint's own type."""
    node = product.input_value(1).get_node()
    while node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    return get_const_value_as_ov_tensor(node)


def place_of(room: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The parts [count, rows, columns / count] that a weight of so many values is kept in, as a view."""
    count = 2 if columns > _LONG_ROW and columns % 2 == 0 else 1
    return room.reshape(count, rows, columns // count)


def _written(values: np.ndarray, scale: np.ndarray, room: np.ndarray, divisor: np.ndarray | None) -> Int8Weight:
    parts = place_of(room, *values.shape)
    for part, source in zip(parts, np.split(values, len(parts), axis=1), strict=True):
        part[:] = source
    return Int8Weight(tuple(parts), scale.astype(np.float32), divisor)
