"""P-Tuning v2: keys and values of virtual tokens before the prompt, one set for each layer."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import Glm4Error
from ...model_directory import read_json
from ...model_directory.weight_shapes import head_size
from .settings import CONFIG, Settings

_TENSOR = "prompt_embeddings"
_FROM_ZERO = ("glm-4-9b-chat", "glm-4-9b-chat-1m", "glm-4-9b", "chatglm")
"""Bases whose own code counts a prompt's positions from 0, whatever virtual tokens stand before it."""
_AFTER = ("-hf", "-0414", "nano", "glm4", "glm")
"""Of transformers' own code, which counts them behind the virtual tokens."""


@dataclass(frozen=True)
class Prefix:
    """The virtual tokens of an adapter."""

    values: np.ndarray
    """Keys and values [layers, 2, tokens, KV heads, head], float32, as the cache holds them: rotated."""
    from_zero: bool
    """Whether the prompt's own positions begin at 0, as they did in training, and not behind the virtual tokens."""

    @property
    def tokens(self) -> int:
        return int(self.values.shape[2])


def read_prefix(settings: Settings, arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> Prefix:
    """The virtual tokens. Raises Glm4Error for tensors that are not those of a model of this config."""
    stray = next((name for name in arrays if name != _TENSOR), None)
    if stray or _TENSOR not in arrays:
        said = f"has {stray}, which is nothing of P-Tuning's" if stray else f"lacks {_TENSOR}"
        raise Glm4Error(f"{settings.folder} {said}", "Is the file whole? Copy the adapter again.")
    tokens, heads, head = settings.number("num_virtual_tokens"), config["num_key_value_heads"], head_size(config)
    table, shape = arrays[_TENSOR], (tokens, config["num_hidden_layers"] * 2 * heads * head)
    if table.shape != shape:
        raise Glm4Error(
            f"{_TENSOR} of {settings.folder} is {list(table.shape)}, and this model's is {list(shape)}"
            f"{f' (its base: {settings.base})' if settings.base else ''}",
            "It was trained on another base: give the model that it was made for.",
        )
    values = table.reshape(tokens, config["num_hidden_layers"], 2, heads, head).transpose(1, 2, 0, 3, 4)
    return Prefix(np.ascontiguousarray(values), _counts_from_zero(settings))


def _counts_from_zero(settings: Settings) -> bool:
    """Where the prompt's positions began in training. Raises Glm4Error where that can't be told from the base."""
    base = Path(settings.base).expanduser()
    if (base / "config.json").is_file():
        return bool(read_json(base / "config.json").get("model_type") == "chatglm")
    name = base.name.lower()
    if name in _FROM_ZERO:
        return True
    if name.endswith(_AFTER):
        return False
    raise Glm4Error(
        f"{settings.folder / CONFIG} does not tell where a prompt's positions begin: its base is {settings.base!r:.80}",
        "Put its base's own name there: base_model_name_or_path, such as THUDM/glm-4-9b-chat or …-hf.",
    )
