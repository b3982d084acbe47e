"""Ids that no text has, which tell one adapter's replies from another's."""

from pathlib import Path
from typing import Any

from ....errors import Glm4Error
from ....model_directory import read_json

FIRST = "[gMASK]"
"""What every prompt of GLM-4 begins with."""
_MEDIA = ("image", "video", "audio", "transcription")
"""Special tokens of these, which a text model's prompts never begin with."""


def reserved_ids(directory: Path, vocabulary: int, count: int) -> tuple[list[int], int]:
    """`count` ids, and that of [gMASK]. Raises Glm4Error where the vocabulary has not so many to spare.

    GLM-4-9B's has 209 rows that no token has; a small one gives its special tokens for media.
    """
    added: list[dict[str, Any]] = read_json(directory / "tokenizer.json")["added_tokens"]
    by_text = {each["content"]: each["id"] for each in added}
    if FIRST not in by_text:
        raise Glm4Error(f"{directory}'s tokenizer has no {FIRST}, by which adapters are told apart")
    unused = range(max(by_text.values()) + 1, vocabulary)
    media = [id for text, id in by_text.items() if any(word in text for word in _MEDIA)]
    found = [*unused, *media][:count]
    if len(found) < count:
        raise Glm4Error(
            f"This model's vocabulary has room for {len(found)} adapters, not {count}", "Load fewer of them."
        )
    return found, by_text[FIRST]
