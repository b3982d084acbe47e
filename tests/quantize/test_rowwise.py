"""Compression over blocks of rows gives NNCF's own numbers, to the last bit."""

from typing import Any

import numpy as np
import openvino
import pytest
import torch
from openvino import opset13 as op

from glm4_intel import Glm4Error
from glm4_quantize.rowwise import row_blocks

SHAPES = ((512, 1024), (640, 512), (901, 640))
_ALIVE: list[np.ndarray] = []  # constants share the memory of their arrays
KINDS = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}


def model(kind: str, spoil: float | None = None) -> openvino.Model:
    """Three layers, one with an odd number of rows; rows of zeros, of one sign and with an outlier among them."""
    layer = first = op.parameter([1, 4, SHAPES[0][1]], np.float32)
    torch.manual_seed(0)
    for shape in SHAPES:
        weight = torch.randn(shape) * 0.02
        weight[3], weight[4], weight[5, 7] = 0, weight[4].abs(), 3
        if spoil is not None:
            weight[200, 5] = spoil
        values = weight.to(KINDS[kind]).contiguous()
        raw = values.view(torch.int16).numpy() if kind == "bf16" else values.numpy()
        _ALIVE.append(raw)
        constant = op.constant(openvino.Tensor(raw, openvino.Shape(shape), getattr(openvino.Type, kind)))
        layer = op.relu(op.matmul(layer, constant if kind == "f32" else op.convert(constant, "f32"), False, True))
    return openvino.Model([layer], [first])


def constants(compressed: openvino.Model) -> list[tuple[str, bytes]]:
    nodes = [node for node in compressed.get_ordered_ops() if node.get_type_name() == "Constant"]
    return [(str(node.get_element_type()), node.data.tobytes()) for node in nodes]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options",
    [
        {"mode": "int4_sym", "group_size": 128},
        {"mode": "int4_asym", "group_size": 32},
        {"mode": "int4_sym", "group_size": -1},
        {"mode": "int4_asym", "group_size": 2, "all_layers": True},
        {"mode": "int8_asym"},
        {"mode": "int8_sym"},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_the_same_to_the_last_bit(kind: str, options: dict[str, Any]) -> None:
    import nncf

    options = options | {"mode": nncf.CompressWeightsMode(options["mode"])}
    expected = constants(nncf.compress_weights(model(kind), **options))
    done: list[int] = []
    with row_blocks(done.append, block=30_000):
        found = constants(nncf.compress_weights(model(kind), **options))
    assert found == expected
    assert sum(done) == sum(np.prod(shape) for shape in SHAPES) * KINDS[kind].itemsize


def test_nncf_is_left_as_it_was() -> None:
    from nncf.quantization.algorithms.weight_compression import openvino_backend

    before = openvino_backend.compress_weight
    with row_blocks():
        assert openvino_backend.compress_weight is not before
    assert openvino_backend.compress_weight is before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_refused(kind: str, value: float) -> None:
    import nncf

    with pytest.raises(Glm4Error, match="NaN or infinite"), row_blocks():
        nncf.compress_weights(model(kind, value), mode=nncf.CompressWeightsMode.INT8_ASYM)
