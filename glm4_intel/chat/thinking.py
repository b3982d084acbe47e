"""The `<think>` part of a reasoning model's reply, told apart from the answer while it arrives."""

from typing import Literal

from .segments import Awaited, Segment, Tag, Trimmed

Thinking = Literal["off", "auto", "inside"]
"""Whether a reply may begin with `<think>` (auto), is inside that part from the start, or has no such part."""
_OPEN, _CLOSE = "<think>", "</think>"  # ordinary tokens, so they are known by their text
_State = Literal["start", "thought", "answer"]
_FIRST: dict[Thinking, _State] = {"off": "answer", "auto": "start", "inside": "thought"}


class ThinkingSplit:
    """Takes a reply's segments and gives its reasoning and the rest, as soon as each is certain."""

    def __init__(self, thinking: Thinking) -> None:
        self._state = _FIRST[thinking]
        self._start = ""  # the reply so far, while it may be the beginning of `<think>`
        self._thought, self._close = Trimmed(), Awaited([_CLOSE])

    def feed(self, segment: Segment) -> tuple[str, list[Segment]]:
        """Further reasoning, and what follows it."""
        if self._state == "answer":
            return "", [segment]
        if isinstance(segment, Tag) and (segment.ends_reply or self._state == "start"):
            thought, rest = self.close()
            return thought, [*rest, segment]
        text = segment.token if isinstance(segment, Tag) else segment
        return self._read_thought(text) if self._state == "thought" else self._read_start(text)

    def close(self) -> tuple[str, list[Segment]]:
        """What only the end of the reply makes certain."""
        thought = self._thought.feed(self._close.close()) if self._state == "thought" else ""
        return thought, self._answer(self._start)

    def _read_start(self, text: str) -> tuple[str, list[Segment]]:
        self._start = (self._start + text).lstrip("\n")  # no reply is shown with line breaks at its start
        if not self._start.startswith(_OPEN):
            return "", [] if _OPEN.startswith(self._start) else self._answer(self._start)
        thought, self._start, self._state = self._start[len(_OPEN) :], "", "thought"
        return self._read_thought(thought)

    def _read_thought(self, text: str) -> tuple[str, list[Segment]]:
        before, *rest = self._close.split(text, 1)
        return self._thought.feed(before), self._answer(rest[1] + self._close.close()) if rest else []

    def _answer(self, text: str) -> list[Segment]:
        self._state, self._start = "answer", ""
        return [text] if text else []
