"""Smoothing: what is large in single columns of a product's activations is moved into the columns of its int8 weight.

SmoothQuant (https://arxiv.org/abs/2211.10438): a column of the activations is divided, and the weight's multiplied, by
the root of how large the one is to the other. Here by the nearest power of two, so that no value of a checkpoint is
rounded, and in the int8 way alone: its norms and its scales are its own, and the int4 way stays as it was.
"""

from collections.abc import Mapping

import numpy as np

from glm4_intel.model_directory.weight_shapes import SAME_VALUES

_MOST = 12
"""The exponent of the largest factor: beyond it a column is all but the whole row."""


def divisors(activations: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the activations of each product are divided by: powers of two [columns], float32.

    Both are the largest magnitudes of the columns by the names of `products`: of the activations that calibration has
    seen, and of the weights.
    """
    found = {}
    for name in activations:
        layer, number, product = name.split(".", 2)
        group = SAME_VALUES if product in SAME_VALUES else (product,)
        alike = [f"{layer}.{number}.{each}" for each in group]
        found[name] = _divisor(activations[name], np.max([weights[each] for each in alike if each in weights], axis=0))
    return found


def _divisor(activations: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A column that is nowhere anything but zero is left as it is."""
    known = (activations > 0) & (weights > 0)
    exponents = np.zeros(len(activations))
    exponents[known] = (np.log2(activations[known]) - np.log2(weights[known])) / 2
    if known.any():
        exponents[known] -= exponents[known].mean()
    return np.exp2(np.clip(exponents.round(), -_MOST, _MOST)).astype(np.float32)
