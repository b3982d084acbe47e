"""What the uncompressed model shows of its products in int8: how large their activations are, and what each would err.

Hooks on PyTorch's modules see the activations while the model reads a text for another reason, or calibration samples.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from glm4_intel.devices import footprint
from glm4_quantize.int8_prefill.smoothing import divisors

from .fidelity import hidden_states

ENOUGH = 4096
"""Tokens of calibration samples that activations are looked at over: columns with outliers have them in every text."""
MUCH = 0.1
"""An error from which it pays to leave a product in one way: what int4 in groups of 128 makes of normal weights."""
_ROWS = 256
"""Outputs of a product that are computed to find its error."""


def smoothing(
    model: PreTrainedModel, samples: list[list[int]], advance: Callable[[int], None]
) -> dict[str, np.ndarray]:
    """The divisors of all products' activations, by calibration samples of token ids. `advance` is told 1 a layer."""
    largest: dict[str, torch.Tensor] = {}

    def look(name: str, module: torch.nn.Module, given: tuple[torch.Tensor, ...], _: Any) -> None:
        found = given[0].detach().abs().flatten(0, -2).amax(0).float()
        largest[name] = torch.maximum(largest[name], found) if name in largest else found

    with _watched(model, look):
        hidden_states(model, _few(samples), advance)
    weights = {name: _columns(model.model.get_submodule(name).weight) for name in largest}
    return divisors({name: values.numpy() for name, values in largest.items()}, weights)


@contextmanager
def int8_errors(model: PreTrainedModel, divided: Mapping[str, np.ndarray]) -> Iterator[dict[str, float]]:
    """While the model reads, the relative error of each product in int8 by its name.

    That is the length of the difference to the product in the model's own precision, to the length of that, on average
    over the tokens; of a part of the outputs. `divided` are the divisors where activations are smoothed.
    """
    found: dict[str, float] = {}

    def look(name: str, module: torch.nn.Module, given: tuple[torch.Tensor, ...], _: Any) -> None:
        weight = module.weight.detach()
        some = weight[:: max(1, len(weight) // _ROWS)].float()
        values = given[0].detach().flatten(0, -2).float()
        right = values @ some.T
        if name in divided:
            divisor = torch.from_numpy(divided[name])
            values, some = values / divisor, some * divisor
        wrong = _rounded(values) @ _rounded(some).T - right
        found[name] = float((wrong.norm(dim=-1) / right.norm(dim=-1).clamp(min=1e-12)).mean())

    with _watched(model, look):
        yield found


def worst_first(errors: Mapping[str, float]) -> dict[str, float]:
    """The products by their errors, in four digits."""
    return {name: round(error, 4) for name, error in sorted(errors.items(), key=lambda item: -item[1])}


def told(errors: Mapping[str, float], most: int = 8) -> list[str]:
    """Lines for a user: the products that err much, and what can be done; or that there are none."""
    much = [name for name, error in errors.items() if error >= MUCH]
    if not much:
        worst, error = next(iter(errors.items()))
        return [f"products in int8 err by {np.median(list(errors.values())):.1%} (median) to {error:.1%} ({worst})"]
    lines = [f"  {name} errs by {errors[name]:.1%} in int8" for name in much[:most]]
    rest = [f"  … and {len(much) - most} more"] if len(much) > most else []
    hint = "--int8-prefill-smoothing may help, or leave them in int4 alone: --int8-prefill-except"
    return [*lines, *rest, f"hint: {hint} '{','.join(much[:most])}'"]


@contextmanager
def _watched(model: PreTrainedModel, look: Callable[..., None]) -> Iterator[None]:
    """Hooks on all products: `look(name, module, inputs, output)`."""
    names = footprint.in_two_ways(model.config.to_dict())
    hooks = [model.model.get_submodule(name).register_forward_hook(partial(look, name)) for name in names]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _few(samples: list[list[int]]) -> list[list[int]]:
    """The first samples, of ENOUGH tokens with their padding to the longest."""
    taken: list[list[int]] = []
    for ids in samples:
        if taken and (len(taken) + 1) * max(map(len, [*taken, ids])) > ENOUGH:
            break
        taken.append(ids)
    return taken


def _columns(weight: torch.Tensor) -> np.ndarray:
    """The largest magnitude of each column."""
    found: np.ndarray = weight.detach().abs().amax(0).float().numpy()
    return found


def _rounded(values: torch.Tensor) -> torch.Tensor:
    """Each row to int8, symmetric."""
    unit = values.abs().amax(-1, keepdim=True).clamp(min=1e-12) / 127
    return (values / unit).round() * unit
