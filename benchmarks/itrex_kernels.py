"""One matrix of the 9B (27,392 by 4,096) on QBits' kernels: milliseconds for one token and for 128.

python benchmarks/itrex_kernels.py            # in ITREX's environment
"""

import statistics
import time

import torch

from environment import environment
from glm4_intel.backends.itrex.backend import engine
from glm4_intel.backends.itrex.format import PackedLinear
from glm4_quantize.itrex.compress import packed
from glm4_quantize.itrex.schemes import Scheme

_OUTPUTS, _INPUTS = 27392, 4096
_SCHEMES = (
    Scheme(group_size=128),
    Scheme(group_size=128, compute_dtype="fp32"),
    Scheme(group_size=32),
    Scheme(group_size=32, compute_dtype="fp32"),
    Scheme(weight_dtype="nf4", group_size=128),
    Scheme(weight_dtype="int8", group_size=128),
    Scheme(weight_dtype="int8", group_size=128, compute_dtype="fp32"),
)


def main() -> None:
    print(f"{environment()}, {engine()}\n")
    weight = torch.randn(_OUTPUTS, _INPUTS)
    print("| weights | groups | computed in | one token | 128 tokens |\n|---|---|---|---|---|")
    for scheme in _SCHEMES:
        linear = PackedLinear(packed(weight, scheme), None, scheme.to_dict())
        one, many = (_milliseconds(linear, torch.randn(tokens, _INPUTS)) for tokens in (1, 128))
        print(
            f"| {scheme.weight_dtype} | {scheme.group_size} | {scheme.compute_dtype} | {one:.1f} ms | {many:.0f} ms |"
        )


def _milliseconds(linear: PackedLinear, values: torch.Tensor) -> float:
    times = []
    for _ in range(20):
        started = time.perf_counter()
        linear(values)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


if __name__ == "__main__":
    main()
