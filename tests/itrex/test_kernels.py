"""Every scheme that is let through, on this processor's kernels: it runs, and computes what its weights say."""

import importlib.util
from collections.abc import Iterator
from itertools import product

import pytest

pytestmark = pytest.mark.itrex
if importlib.util.find_spec("intel_extension_for_transformers") is None:
    pytest.skip("needs the environment of quantize/requirements-itrex.txt", allow_module_level=True)

import torch

from glm4_intel import Glm4Error
from glm4_intel.backends.itrex.format import PackedLinear, instruction_sets
from glm4_quantize.itrex.compress import packed
from glm4_quantize.itrex.schemes import COMPUTES, PER_ROW, SCALES, WEIGHTS, Scheme

INPUTS, OUTPUTS = 256, 384
CONFIG = {"num_attention_heads": 2, "head_dim": 128, "hidden_size": INPUTS, "intermediate_size": INPUTS}
MOST = {8: 0.02, 4: 0.17}
"""Error of the products, relative to their size, by bits of the weights: normal numbers, groups up to a whole row."""


def let_through() -> Iterator[Scheme]:
    for weights, group, symmetric, scale, compute in product(
        WEIGHTS, (32, 128, PER_ROW), (True, False), SCALES, COMPUTES
    ):
        try:
            scheme = Scheme("rtn", weights, group, symmetric, scale, compute)
            scheme.require_fit(CONFIG, instruction_sets())
        except Glm4Error:
            continue
        yield scheme


@pytest.mark.parametrize("scheme", let_through(), ids=str)
def test_a_scheme_computes_what_its_weights_say(scheme: Scheme) -> None:
    torch.manual_seed(0)
    weight = torch.randn(OUTPUTS, INPUTS)
    linear = PackedLinear(packed(weight, scheme), None, scheme.to_dict())
    for tokens in (1, 3, 128):
        values = torch.randn(tokens, INPUTS)
        exact = values.double() @ weight.double().T
        error = (linear(values) - exact).norm() / exact.norm()
        assert 0 < error < MOST[WEIGHTS[scheme.weight_dtype]]
