"""Integer weight compression over blocks of rows, on every core: NNCF's own numbers, several times sooner.

NNCF compresses one matrix after another with a small OpenVINO model that walks the whole matrix in each of its steps,
and gives the memory back every time. Rows do not depend on each other, so here the same model, as NNCF builds it, is
given blocks of rows that stay in a core's cache, one block to each core, and writes into the final constant.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import openvino
from nncf.common.utils.caching import disable_results_caching
from nncf.openvino.optimized_functions import models
from nncf.quantization.algorithms.weight_compression import openvino_backend, weight_lowering
from nncf.quantization.algorithms.weight_compression.config import WeightCompressionConfig
from nncf.quantization.algorithms.weight_compression.parameters import CompressedWeight
from nncf.tensor import Tensor, TensorBackend, TensorDataType

from glm4_intel.errors import Glm4Error
from glm4_intel.machine.cores import usable_cores

BLOCK = 1 << 20
"""Weights in a block: 2 MB of bf16. Half and twice as many are as fast, an eighth is not."""
_EXPONENT = {"bf16": 0x7F80, "f16": 0x7C00}
Reader = Callable[[int, int], np.ndarray | None]
"""An address and a size to the bytes there, valid until the same thread's next call, or None to take them as they are.
Weights may be mapped files, which can be read faster than they can be touched."""


def from_memory(address: int, size: int) -> None:
    """The reader for weights that are in memory."""


@contextmanager
def row_blocks(
    advance: Callable[[int], None] = lambda size: None, read: Reader = from_memory, block: int = BLOCK
) -> Iterator[None]:
    """Within it, `nncf.compress_weights` of an OpenVINO model works over blocks of rows where that gives the same.

    `advance` is told the bytes of every weight that is done, `read` gives those of a part of one. Raises Glm4Error for
    a weight with NaN or infinity.
    """
    original = openvino_backend.compress_weight

    def compress_weight(weight: Tensor, axes: Any, config: Any, precomputed: Any = None) -> CompressedWeight:
        in_openvino = weight.backend == TensorBackend.ov  # a correction's adapters are not, nor from the checkpoint
        if precomputed is None and _in_rows(weight, axes, config):
            done = compressor.compress(weight.data, config)
        else:
            if in_openvino:
                require_finite(weight.data.data, weight.data.element_type.to_string())
            done = original(weight, axes, config, precomputed)
        if in_openvino:
            advance(weight.data.byte_size)
        return done

    openvino_backend.compress_weight = compress_weight
    try:
        with row_compressor(read, block) as compressor:
            yield
    finally:
        openvino_backend.compress_weight = original


@contextmanager
def row_compressor(read: Reader = from_memory, block: int = BLOCK) -> "Iterator[RowCompressor]":
    """What compresses one matrix after another, on every core."""
    compressor = RowCompressor(usable_cores(), read, block)
    with compressor.pool:
        yield compressor


def require_finite(values: np.ndarray, kind: str) -> None:
    """Raise Glm4Error if any of the values, of the 16-bit kind "bf16" or "f16" or of 32 bits, is NaN or infinite."""
    if kind in _EXPONENT:  # all bits of the exponent set
        exponent = np.uint16(_EXPONENT[kind])
        damaged = bool((np.bitwise_and(values.view(np.uint16), exponent).max() == exponent).any())
    else:
        damaged = not np.isfinite(values).all()
    if damaged:
        raise Glm4Error("A weight of the checkpoint is NaN or infinite", "The file is damaged: fetch it again.")


def _in_rows(weight: Tensor, axes: Any, config: WeightCompressionConfig) -> bool:
    """Whether NNCF would run its OpenVINO model on this matrix, with its groups along the rows."""
    return (
        weight.backend == TensorBackend.ov
        and len(weight.shape) == 2
        and tuple(np.atleast_1d(axes)) == (1,)
        and config.is_integer
        and config.num_bits in (4, 8)
        and (config.group_size == -1 or weight.shape[1] % config.group_size == 0)
        and weight_lowering._can_run_optimized(weight, config.mode)
    )


class RowCompressor:
    """NNCF's compression models for blocks of rows, and threads with an infer request of each.

    There are twice as many threads as cores, so that some read while others compute.
    """

    def __init__(self, cores: int, read: Reader, block: int) -> None:
        self._threads = 2 * cores
        self.pool = ThreadPoolExecutor(self._threads)
        self._cores, self._read, self._block = cores, read, block
        self._requests: dict[Any, list[Any]] = {}

    def compress(
        self, weight: openvino.Tensor, config: WeightCompressionConfig, factors: np.ndarray | None = None
    ) -> CompressedWeight:
        """The weight [rows, columns] compressed, its columns multiplied by `factors` first, which are powers of two."""
        (rows, columns), group = weight.shape, config.group_size
        row = (columns,) if group == -1 else (columns // group, group)
        step = max(2, 1 << (self._block // columns).bit_length() - 1)  # even: int4 values of two rows share a byte
        starts = range(0, rows, step)
        requests = {size: self._for(weight, config, size, row) for size in {min(step, rows - at) for at in starts}}
        whole = [
            openvino.Tensor(output.element_type, openvino.Shape([rows, *output.shape[1:]]))
            for output in requests[min(step, rows)][0].model_outputs
        ]

        start, width = weight.data.ctypes.data, weight.byte_size // rows

        def work(thread: int) -> None:
            for first in starts[thread :: self._threads]:
                size = min(step, rows - first)
                request, values = requests[size][thread], self._read(start + first * width, size * width)
                if values is None:
                    values = _rows(weight, first, size)
                if factors is not None:
                    values = _scaled(values, weight.element_type.to_string(), factors)
                part = openvino.Tensor(values, openvino.Shape([size, *row]), weight.element_type)
                require_finite(part.data, weight.element_type.to_string())
                request.set_input_tensor(part)
                request.infer()
                for index, tensor in enumerate(whole):  # copied: other output tensors each time cost three times that
                    _rows(tensor, first, size)[:] = _rows(request.get_output_tensor(index), 0, size)

        list(self.pool.map(work, range(self._threads)))
        values, scale, *zero_point = whole  # OpenVINO tensors become constants without a copy
        if zero_point and config.num_bits == 8:  # computed in 32 bits
            zero_point = [zero_point[0].data]
        return CompressedWeight(Tensor(values), Tensor(scale.data), Tensor(zero_point[0]) if zero_point else None)

    def _for(self, weight: openvino.Tensor, config: WeightCompressionConfig, size: int, row: tuple[int, ...]) -> Any:
        """The requests for blocks of `size` rows, compiled for that shape: a dynamic one is three times as slow."""
        key = (weight.element_type.to_string(), config.mode, size, row)
        if key not in self._requests:
            compiled = openvino.Core().compile_model(
                _model(weight, config, (size, *row)),
                "CPU",
                {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": self._cores, "NUM_STREAMS": self._cores},
            )
            self._requests[key] = [compiled.create_infer_request() for _ in range(self._threads)]
        return self._requests[key]


def _model(weight: openvino.Tensor, config: WeightCompressionConfig, shape: tuple[int, ...]) -> openvino.Model:
    """NNCF's own compression model, for weights of one shape whose groups lie along the last axis."""
    parameters = models.OVModelParameters(input_dtypes={"weight": Tensor(weight).dtype})
    if config.num_bits == 4:
        four = TensorDataType.uint4 if config.is_asym_mode else TensorDataType.int4
        parameters.output_dtypes = {"compressed_weight": four, "zero_point": four}
    with disable_results_caching(models.OV_MODEL_CACHE):
        inputs, results, _ = models._build_integer_quantization_model(
            config, parameters, shape, reduction_axes=(len(shape) - 1,), return_nodes=True
        )
    return openvino.Model(results, inputs)


def _scaled(values: np.ndarray, kind: str, factors: np.ndarray) -> np.ndarray:
    """The bytes of rows whose columns are multiplied by powers of two, which no value is rounded by."""
    if kind == "bf16":
        wide = (values.view(np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(-1, len(factors)) * factors
        return (wide.view(np.uint32) >> 16).astype(np.uint16).reshape(-1).view(np.uint8)
    own = {"f16": np.float16, "f32": np.float32}[kind]
    return (values.view(own).reshape(-1, len(factors)) * factors).astype(own).reshape(-1).view(np.uint8)


def _rows(tensor: openvino.Tensor, first: int, size: int) -> np.ndarray:
    """The bytes of `size` rows from `first` on, a view."""
    data, rows = tensor.data.reshape(-1).view(np.uint8), tensor.shape[0]
    return data[len(data) * first // rows : len(data) * (first + size) // rows]
