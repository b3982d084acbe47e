"""Token ids to segments while they arrive: no character is split, and no stop text is shown in part."""

import codecs
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from .segments import Awaited, Segment, Tag


class StopTexts:
    """Cuts a text off before the first of the stop texts, holding back what may be the beginning of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = Awaited(stops) if stops else None
        self.text = ""
        """The stop text that was found."""

    @property
    def found(self) -> bool:
        """Whether one was."""
        return bool(self.text)

    def feed(self, text: str) -> str:
        """The text that is certain not to belong to a stop text; nothing more once one was found."""
        if self.found or not self._stops:
            return "" if self.found else text
        before, *found = self._stops.split(text, 1)
        self.text = found[0] if found else ""
        return before

    def close(self) -> str:
        """What was held back, where the text ends without more: at its end, or at a tag."""
        return "" if self.found or not self._stops else self._stops.close()


class TextStream:
    """Decodes ids as they come, up to a stop text, holding back what is not a whole character yet.

    `token_bytes` gives an id's bytes and `tags` the ids that are tags: text never spells one.
    """

    def __init__(
        self, token_bytes: Callable[[int], bytes], tags: Mapping[int, Tag] | None = None, stop: Sequence[str] = ()
    ) -> None:
        self._token_bytes, self._tags = token_bytes, tags or {}
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = StopTexts(stop)

    @property
    def stopped(self) -> bool:
        """Whether a stop text was found, after which nothing more is given."""
        return self._stops.found

    @property
    def stop_text(self) -> str | None:
        """The stop text that was found."""
        return self._stops.text or None

    def feed(self, ids: Iterable[int]) -> list[Segment]:
        """The segments that are certain, none of them empty."""
        return list(self._segments(ids))

    def close(self) -> list[Segment]:
        """What is left; a character cut short becomes U+FFFD."""
        rest = self._rest()
        return [rest] if rest else []

    def _segments(self, ids: Iterable[int]) -> Iterator[Segment]:
        undecoded = b""
        for id in ids:
            if tag := self._tags.get(id):
                if text := self._text(undecoded) + self._rest():
                    yield text
                if not self.stopped:
                    yield tag
                undecoded = b""
            else:
                undecoded += self._token_bytes(id)
        if text := self._text(undecoded):
            yield text

    def _text(self, data: bytes) -> str:
        return self._stops.feed(self._decoder.decode(data))

    def _rest(self) -> str:
        """What was held back, at the end of the reply or at a tag, which no character and no stop text spans."""
        return self._stops.feed(self._decoder.decode(b"", final=True)) + self._stops.close()
