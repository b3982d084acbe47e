"""A reply as segments: text, and the tags that divide it. A text that is awaited is held back here, and only here.

A tag is a special token. In a reply that comes as ids it is known by its id, so that a reply which quotes one in
ordinary tokens remains text; in a decoded reply it is known by its text.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from .messages import ENDS


@dataclass(frozen=True)
class Tag:
    """A special token that means something in a reply: it begins a part, or ends the reply."""

    token: str
    ends_reply: bool


Segment = str | Tag

TAGS = {token: Tag(token, token in ENDS) for token in ("<|assistant|>", *ENDS)}
"""The tags by their text. Every other special token in a reply counts as the text it spells."""


def tag_ids(special_id: Callable[[str], int | None]) -> dict[int, Tag]:
    """The tags by their ids, those that the tokenizer has; `special_id` is its prompt's."""
    return {id: tag for token, tag in TAGS.items() if (id := special_id(token)) is not None}


def may_begin(text: str, awaited: Iterable[str]) -> bool:
    """Whether one of the awaited texts begins with `text`."""
    return any(each.startswith(text) for each in awaited)


class Awaited:
    """Divides a text that arrives in pieces at the awaited texts, holding back what may be the beginning of one.

    At least one text is awaited, and none is empty. Of two that begin at the same place, the longer one is found.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = sorted(texts, key=len, reverse=True)
        self._any = re.compile(f"({'|'.join(map(re.escape, self._texts))})")
        self._first = re.compile("|".join({re.escape(text[0]) for text in self._texts}))
        self._held = ""

    def split(self, text: str, maxsplit: int = 0) -> list[str]:
        """Text, awaited text, text and so on, in turns; `maxsplit` limits how many are found, 0 leaves it open."""
        pieces = self._any.split(self._held + text, maxsplit)
        whole = len(pieces[-1]) - self._begun(pieces[-1])
        pieces[-1], self._held = pieces[-1][:whole], pieces[-1][whole:]
        return pieces

    def close(self) -> str:
        """What was held back: nothing follows that could make it more than text."""
        held, self._held = self._held, ""
        return held

    def _begun(self, text: str) -> int:
        """The length of the longest ending of a text that one of the awaited texts begins with."""
        for first in self._first.finditer(text, max(0, len(text) - len(self._texts[0]) + 1)):
            if may_begin(text[first.start() :], self._texts):
                return len(text) - first.start()
        return 0


class TagsInText:
    """Decoded text to segments."""

    def __init__(self) -> None:
        self._tags = Awaited(TAGS)

    def feed(self, text: str) -> Iterator[Segment]:
        for piece in self._tags.split(text):
            if piece:
                yield TAGS.get(piece, piece)

    def close(self) -> str:
        """The rest, which is text."""
        return self._tags.close()


class Trimmed:
    """A text in pieces, without the line breaks at its two ends: one waits until more of the text follows it."""

    def __init__(self) -> None:
        self.begun = False
        """Whether any of the text has been given out."""
        self._breaks = 0  # that wait

    def feed(self, text: str) -> str:
        if not self.begun:
            text = text.lstrip("\n")
        body = text.rstrip("\n")
        breaks = len(text) - len(body)
        if not body:
            self._breaks += breaks
            return ""
        shown = "\n" * self._breaks + body
        self._breaks, self.begun = breaks, True
        return shown
