"""The context of a checkpoint whose rotary embedding is scaled for longer texts."""

from collections.abc import Mapping
from typing import Any

from glm4_intel.errors import Glm4Error

_SCALED = ("yarn", "linear", "llama3")
"""What can be computed beforehand, and so be part of a model; others change with the length of each text."""


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
    factor = stated.get("factor")
    if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 1 <= factor < 1e4:
        raise Glm4Error(f"config.json has a rope_scaling with factor {factor!r}", "It must be a number from 1 on.")
    return stated


def scaled_context(config: dict[str, Any]) -> dict[str, Any]:
    """The config with the context that its rope_scaling gives, where it states the one that the model had before.

    As the authors of GLM-4-0414 write it: https://huggingface.co/zai-org/GLM-4-9B-0414.
    """
    scaling, stated = rope_scaling(config), config["max_position_embeddings"]
    if scaling is None:
        return config
    original = scaling.get("original_max_position_embeddings", stated)
    return config | {"max_position_embeddings": max(stated, int(original * scaling["factor"]))}
