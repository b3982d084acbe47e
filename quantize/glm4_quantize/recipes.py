"""Compression recipes: one per target device, each a call of `nncf.compress_weights` with its reason."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from glm4_intel.errors import Glm4Error

if TYPE_CHECKING:
    from openvino import Model

Mode = Literal["int4_sym", "int4_asym", "int8_sym", "int8_asym", "none"]


@dataclass(frozen=True)
class Recipe:
    """How weights are compressed; `mode` "none" leaves them in the checkpoint's own type."""

    name: str
    mode: Mode
    targets: tuple[str, ...]
    reason: str
    group_size: int = 128
    """Inputs that share a scale; -1 gives one scale to a whole row."""
    ratio: float = 1.0
    """The share of the layers that get `mode`; the rest, with the embedding and lm_head, are int8."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("cpu", "int4_sym", ("CPU", "GPU"),
               "Symmetric int4 decodes faster than asymmetric on every CPU measured, with AVX2 and with AMX."),
        Recipe("gpu", "int4_sym", ("GPU", "CPU"),
               "Arc's matrix kernels take groups of 128 without a zero point at full speed."),
        Recipe("npu", "int4_sym", ("NPU", "CPU"),
               "The NPU compiler takes symmetric int4 alone; one scale a row is its fast path.", group_size=-1),
        Recipe("int8", "int8_asym", ("CPU", "GPU"), "Twice the memory of int4, next to no loss.", group_size=-1),
        Recipe("none", "none", ("CPU",), "The checkpoint's own weights, as a reference to compare with."),
    )
}  # fmt: skip


def recipe_named(name: str) -> Recipe:
    """The recipe of that name. Raises Glm4Error listing those there are."""
    if name not in RECIPES:
        raise Glm4Error(f"There is no recipe {name!r}", f"There are {', '.join(RECIPES)}.")
    return RECIPES[name]


def compress(model: "Model", recipe: Recipe) -> "Model":
    """The OpenVINO model with its weights compressed, in memory."""
    if recipe.mode == "none":
        return model
    import nncf

    options: dict[str, Any] = {"mode": nncf.CompressWeightsMode(recipe.mode)}
    if recipe.mode.startswith("int4"):
        options |= {"group_size": recipe.group_size, "ratio": recipe.ratio}
    return nncf.compress_weights(model, **options)
