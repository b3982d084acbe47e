"""A recipe carried out on an OpenVINO model by NNCF."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import nncf
import rich
from openvino import Model

from glm4_intel.backends.openvino_ir import model_inputs
from glm4_intel.errors import Glm4Error

from .recipes import Recipe
from .rowwise import Reader, from_memory, row_blocks


def compress(
    model: Model,
    recipe: Recipe,
    samples: Sequence[Sequence[int]] = (),
    advance: Callable[[int], None] = lambda size: None,
    read: Reader = from_memory,
) -> Model:
    """The model with its weights compressed, in memory. `samples` are token ids, for recipes that need data.

    `advance` is told the bytes of each weight that is done; `read` knows a faster way to a weight's bytes. Raises
    Glm4Error where NNCF refuses the recipe.
    """
    if recipe.mode in ("none", "fp16"):
        return model
    try:
        with row_blocks(advance, read), _no_progress_of_its_own(recipe):
            if recipe.lm_head == "mode":  # in two steps: all_layers alone would take the embedding to int4 as well
                but_embedding = nncf.IgnoredScope(types=["Gather"])
                model = nncf.compress_weights(
                    model, **_options(recipe, samples), all_layers=True, ignored_scope=but_embedding
                )
                return nncf.compress_weights(model, mode=nncf.CompressWeightsMode(recipe.backup))
            return nncf.compress_weights(model, **_options(recipe, samples))
    except (nncf.errors.ParameterNotSupportedError, nncf.errors.ValidationError, nncf.errors.InvalidGroupSizeError,
            nncf.errors.UnsupportedModelError) as error:  # fmt: skip
        reason = str(error).strip().splitlines()[0]
        raise Glm4Error(
            f"NNCF can't do the recipe {recipe.name}: {reason}", "Choose another: glm4-intel export --list-recipes"
        ) from error


@contextmanager
def _no_progress_of_its_own(recipe: Recipe) -> Iterator[None]:
    """NNCF's bars, unless they tell of a method's steps, which `advance` knows nothing of."""
    rich.reconfigure(quiet=not has_own_progress(recipe))
    try:
        yield
    finally:
        rich.reconfigure(quiet=False)


def has_own_progress(recipe: Recipe) -> bool:
    """Whether NNCF shows what it is doing: the steps of a method beyond rounding."""
    return bool(recipe.methods) or recipe.needs_data or recipe.ratio < 1


def _options(recipe: Recipe, samples: Sequence[Sequence[int]]) -> dict[str, Any]:
    """The arguments of `nncf.compress_weights`."""
    options: dict[str, Any] = {"mode": nncf.CompressWeightsMode(recipe.mode)}
    if not recipe.is_int4:
        return options
    options |= {
        "group_size": recipe.group_size, "ratio": recipe.ratio, "backup_mode": nncf.BackupMode(recipe.backup),
    }  # fmt: skip
    if recipe.ratio < 1:
        options["sensitivity_metric"] = nncf.SensitivityMetric(recipe.sensitivity)
    for method in recipe.methods:
        options[method] = True
    if recipe.needs_data:
        options |= {"dataset": nncf.Dataset([model_inputs(ids) for ids in samples]), "subset_size": len(samples)}
    return options
