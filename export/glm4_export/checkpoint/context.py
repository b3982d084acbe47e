"""The context of a checkpoint whose rotary embedding is scaled for longer texts."""

from collections.abc import Mapping
from typing import Any

from glm4_intel.errors import Glm4Error

_SCALED = ("yarn", "linear", "llama3")
"""What can be computed beforehand, and so be part of a model; others change with the length of each text."""
_NUMBERS = {  # from and to
    "factor": (1, 1e4), "original_max_position_embeddings": (1, 1 << 24), "rope_theta": (1, 1e15),
    **dict.fromkeys(("low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow", "attention_factor", "mscale",
                     "mscale_all_dim", "partial_rotary_factor"), (0, 1e4)),
}  # fmt: skip
_NEEDED = {"llama3": ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor")}


def rope_scaling(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """How the rotary embedding is scaled, None if it is not. Raises Glm4Error for what can't be exported."""
    stated = config.get("rope_scaling") or config.get("rope_parameters")
    if not stated:
        return None
    if not isinstance(stated, Mapping):
        raise Glm4Error(f"config.json has rope_scaling {stated!r}", "It must be an object with type and factor.")
    kind = stated.get("rope_type", stated.get("type", "default"))
    if kind == "default":
        return None
    if kind not in _SCALED:
        raise Glm4Error(
            f"config.json has a rope_scaling of the type {kind!r}, which can't be exported",
            f"Use one of {', '.join(_SCALED)}, or take rope_scaling out.",
        )
    needed = {"factor", *_NEEDED.get(kind, ())}
    for name, (low, high) in _NUMBERS.items():
        value = stated.get(name)
        if (name in needed or value is not None) and not _is_number(value, low, high):
            raise Glm4Error(
                f"config.json has a rope_scaling with {name} {value!r:.60}",
                f"It must be a number from {low} to {high:g}.",
            )
    return stated


def _is_number(value: Any, low: float, high: float) -> bool:
    return not isinstance(value, bool) and isinstance(value, (int, float)) and low <= value <= high


def scaled_context(config: dict[str, Any]) -> dict[str, Any]:
    """The config with the context that its rope_scaling gives, where it states the one that the model had before.

    As the authors of GLM-4-0414 write it: https://huggingface.co/zai-org/GLM-4-9B-0414.
    """
    scaling, stated = rope_scaling(config), config["max_position_embeddings"]
    if scaling is None:
        return _unscaled(config)
    original = scaling.get("original_max_position_embeddings", stated)
    return config | {"max_position_embeddings": max(stated, int(original * scaling["factor"]))}


def _unscaled(config: dict[str, Any]) -> dict[str, Any]:
    """The config without a scaling that is none, and without what stands beside the type `default`."""
    kept = {key: value for key, value in config.items() if key not in ("rope_scaling", "rope_parameters")}
    stated = config.get("rope_parameters") or {}
    numbers = {key: stated[key] for key in ("rope_theta", "partial_rotary_factor") if key in stated}
    return kept | ({"rope_parameters": {"rope_type": "default", **numbers}} if numbers else {})
