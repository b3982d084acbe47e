"""LoRA's tensors on a model's products: every one lands, or it is named."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import Glm4Error
from .products import CHATGLM_LAYER, Module, modules, tensor_name, whole_tensors
from .settings import Settings
from .values import LowRank

_PREFIX = "base_model.model."
_KINDS = {
    "lora_A.weight": "down", "lora_B.weight": "up", "lora_B.bias": "bias", "lora_magnitude_vector": "magnitude",
    "lora_magnitude_vector.weight": "magnitude",
}  # fmt: skip
_OTHER_BASE = "It was trained on another base: give the model that it was made for."
_CUT = "Is the file whole? Copy the adapter again."


@dataclass
class _Tensors:
    """A folder's tensors, sorted by what they are."""

    pieces: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    """By module: down, up, bias, magnitude."""
    whole: dict[str, np.ndarray] = field(default_factory=dict)
    """Biases, and modules that were saved: by their names in the checkpoint's layout."""


def read_lora(
    settings: Settings, arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]
) -> tuple[dict[str, LowRank], dict[str, np.ndarray]]:
    """The changes by product, and the tensors that take the place of the base's, by transformers' names.

    Raises Glm4Error, naming it, for a tensor that is missing, lands nowhere, or has another shape or rank.
    """
    chatglm = any(CHATGLM_LAYER in name for name in arrays)
    found, known = _sorted(arrays), modules(config, chatglm)
    _require_all(settings, found, known)
    changes: dict[str, LowRank] = {}
    for name, pieces in found.pieces.items():
        module = known.get(name)
        if module is None:
            raise _lands_nowhere(settings, name, config)
        whole = _low_rank(settings, name, pieces, module)
        changes |= {part.product: whole.rows(part.first, part.rows) for part in module.parts}
    replaced: dict[str, np.ndarray] = {}
    for name, array in found.whole.items():
        replaced |= _replacements(settings, name, array, known, config, chatglm)
    return changes, replaced


def _sorted(arrays: Mapping[str, np.ndarray]) -> _Tensors:
    found = _Tensors()
    for full, array in arrays.items():
        name = full.removeprefix(_PREFIX)
        module, kind = next(
            ((name.removesuffix(f".{end}"), kind) for end, kind in _KINDS.items() if name.endswith(f".{end}")), ("", "")
        )
        if kind:
            found.pieces.setdefault(module, {})[kind] = array
        else:
            found.whole[name.replace(".base_layer.", ".").replace(".modules_to_save.", ".")] = array
    return found


def _require_all(settings: Settings, found: _Tensors, known: Mapping[str, Module]) -> None:
    """Raises Glm4Error where a module that it was trained on has no tensors."""
    if not found.pieces:
        raise Glm4Error(f"{settings.folder} has no LoRA tensors in it", _CUT)
    for module in (*settings.targeted(known), *found.pieces):
        wanted = ("down", "up", "magnitude") if settings.dora else ("down", "up")
        missing = [kind for kind in wanted if kind not in found.pieces.get(module, {})]
        if missing:
            suffix = next(end for end, kind in _KINDS.items() if kind == missing[0])
            raise Glm4Error(f"{settings.folder} lacks {module}.{suffix}", _CUT)


def _low_rank(settings: Settings, name: str, pieces: Mapping[str, np.ndarray], module: Module) -> LowRank:
    rank = settings.rank(name)
    down, up, bias, magnitude = (pieces.get(kind) for kind in ("down", "up", "bias", "magnitude"))
    assert down is not None and up is not None
    if down.shape[:1] != (rank,) or up.shape[-1:] != (rank,):
        stored = down.shape[0] if down.shape[:1] != (rank,) else up.shape[-1]
        raise Glm4Error(
            f"{name} of {settings.folder} has the rank {stored}, and its adapter_config.json says {rank}",
            "Both files must be of one training: copy the adapter again.",
        )
    wanted = {"lora_A": (down, (rank, module.columns)), "lora_B": (up, (module.rows, rank))}
    for kind, (array, shape) in wanted.items():
        if array.shape != shape:
            told = f"{name}.{kind} of {settings.folder} is {list(array.shape)}, and this model's is {list(shape)}"
            raise Glm4Error(told + _base_of(settings), _OTHER_BASE)
    flat = [None if each is None else each.reshape(-1) for each in (bias, magnitude)]
    if any(each is not None and each.shape != (module.rows,) for each in flat):
        raise Glm4Error(f"{name} of {settings.folder} has a bias or magnitude that is not of its size", _OTHER_BASE)
    return LowRank(down, up, settings.scale(name), *flat)


def _replacements(
    settings: Settings, name: str, array: np.ndarray, known: Mapping[str, Module], config: Mapping[str, Any],
    chatglm: bool,
) -> dict[str, np.ndarray]:  # fmt: skip
    """A tensor that takes the place of the base's: under transformers' names, a fused one in parts."""
    module = known.get(name.rpartition(".")[0])
    whole = whole_tensors(config, chatglm).get(name)
    if module is not None and name.endswith(".bias") and array.shape == (module.rows,):
        parts = {tensor_name(part.product, "bias"): (part.first, part.rows) for part in module.parts}
        return {ours: array[first : first + rows] for ours, (first, rows) in parts.items()}
    if whole is None:
        raise _lands_nowhere(settings, name, config)
    ours, shape = whole
    if array.shape != shape:
        told = f"{name} of {settings.folder} is {list(array.shape)}, and this model's is {list(shape)}"
        raise Glm4Error(told + _base_of(settings), _OTHER_BASE)
    return {ours: array}


def _lands_nowhere(settings: Settings, name: str, config: Mapping[str, Any]) -> Glm4Error:
    layer, layers = re.search(r"\.layers\.(\d+)\.", name), config["num_hidden_layers"]
    if layer and int(layer[1]) >= layers:
        told = f"{settings.folder} changes {name}, and this model has {layers} layers"
    else:
        told = f"{settings.folder} changes {name}, which is nothing of a GLM-4's that it could land on"
    return Glm4Error(told + _base_of(settings), _OTHER_BASE)


def _base_of(settings: Settings) -> str:
    return f" (its base: {settings.base})" if settings.base else ""
