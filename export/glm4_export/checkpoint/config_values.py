"""What the values of a checkpoint's config.json may be: a wrong one would come up in the middle of the work."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from glm4_intel.errors import Glm4Error
from glm4_intel.model_directory import require_sizes

_TYPES = ("float32", "float16", "bfloat16", "float64", "torch.float32", "torch.float16", "torch.bfloat16")


def require_values(file: Path, config: Mapping[str, Any]) -> None:
    """Raises Glm4Error naming a value that no GLM-4 has; `config` is of the architecture that is exported."""
    require_sizes(file, config)
    rope = config.get("rope_parameters")
    for name, (right, said) in _VALUES.items():
        for values in (config, rope if isinstance(rope, Mapping) else {}):
            if values.get(name) is not None and not right(values[name]):
                raise Glm4Error(f"{file} has {name} {values[name]!r:.60}, which must be {said}", "Fetch it again.")
    if config.get("rms_norm_eps") is None:
        raise Glm4Error(f"{file} has no rms_norm_eps", "Fetch it again.")
    padding = config.get("pad_token_id")
    if padding is not None and padding >= config["vocab_size"]:
        raise Glm4Error(f"{file} has pad_token_id {padding}, past the vocabulary", "Fetch it again.")


def _number(low: float, high: float) -> Callable[[Any], bool]:
    def right(value: Any) -> bool:
        return not isinstance(value, bool) and isinstance(value, (int, float)) and low <= value <= high

    return right


def _id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31


def _ids(value: Any) -> bool:
    return all(map(_id, value)) if isinstance(value, list) else _id(value)


_OBJECT: tuple[Callable[[Any], bool], str] = (lambda value: isinstance(value, Mapping), "an object")
_FLAG: tuple[Callable[[Any], bool], str] = (lambda value: isinstance(value, bool), "true or false")
_TYPE: tuple[Callable[[Any], bool], str] = (lambda value: value in _TYPES, f"one of {', '.join(_TYPES[:4])}")
_VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "rms_norm_eps": (_number(math.ulp(0.0), 1), "a number above 0, to 1"),
    "rope_theta": (_number(1, 1e15), "a number from 1 on"),
    "partial_rotary_factor": (_number(0.01, 1), "a number to 1"),
    "attention_dropout": (_number(0, 1), "a number from 0 to 1"),
    "attention_bias": _FLAG,
    "tie_word_embeddings": _FLAG,
    "hidden_act": (lambda value: value == "silu", "silu"),
    "eos_token_id": (_ids, "a token id or a list of them"),
    "pad_token_id": (_id, "a token id"),
    "torch_dtype": _TYPE,
    "dtype": _TYPE,
    "rope_parameters": _OBJECT,
}
