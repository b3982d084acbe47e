"""The parts of an answer: when one of them is text, and when it is a call.

A call counts at the start of the reply or of an `<|assistant|>` part, and anywhere if the reply ended with
`<|observation|>`; after it must come the end, `<|assistant|>` or another call. Everything else is text.
"""

from collections.abc import Iterable, Iterator

from .events import Event, TextDelta, ToolCallDelta
from .segments import TAGS, Segment, Tag, Trimmed
from .tool_calls import CallGrammar, Written

_OBSERVATION = TAGS["<|observation|>"]


class Part:
    """One part while it is written: its text comes out as soon as it can't become a call."""

    def __init__(self, grammar: CallGrammar, waits: bool) -> None:
        self._grammar = grammar
        self._text = Trimmed()
        self._held: list[str] = []  # from the start of the line on that is or may be a call
        self._mid_line = False  # the beginning of the current line is text
        self.waits = waits
        """Whether all that follows waits for the end: a call has begun, or an earlier part waits."""

    def feed(self, text: str) -> str:
        """The text that is certain to be text."""
        if self.waits or self._only_more_blanks(text):
            self._held.append(text)
            return ""
        if self._mid_line and "\n" not in text:
            return self.show(text)
        text = "".join(self._held) + text
        candidate = self._first_candidate(text)
        self._held = [text[candidate:]] if candidate >= 0 else []
        self._mid_line = candidate < 0
        return self.show(text if candidate < 0 else text[:candidate])

    def rest(self, anywhere: bool) -> tuple[str, list[Written]]:
        """What has not come out, if the part ends here: text, and the calls after it, which may count `anywhere`."""
        return self._grammar.parse_part("".join(self._held), not self._text.begun, anywhere)

    def show(self, text: str) -> str:
        """Text of the part as it is to be shown, without line breaks at the part's ends."""
        return self._text.feed(text)

    def _only_more_blanks(self, text: str) -> bool:
        """Whether `text` changes nothing about the line that is held: blanks around a name do not count."""
        return bool(self._held) and text.isspace() and "\n" not in text and not self._held[-1].endswith("\n")

    def _first_candidate(self, text: str) -> int:
        """Where the first line begins that is or may be a call, -1 if there is none."""
        if not self._grammar:
            return -1
        start = _next_line(text, 0) if self._mid_line else 0
        while start >= 0:
            begins = self._grammar.may_begin(text, start)
            if begins is not False:
                self.waits = bool(begins)
                return start
            start = _next_line(text, start)
        return -1


class Parts:
    """Reads the segments of an answer.

    A call is certain when its part has ended, since what follows its arguments could yet make it text; then come its
    name and its arguments as deltas, and the call. Where only the reply's end tells, the parts wait for it.
    """

    def __init__(self, grammar: CallGrammar) -> None:
        self._grammar = grammar
        self._parts = [Part(grammar, waits=False)]  # the current one last, before it those that wait for the end
        self._shown: Part | None = None  # the part whose text was shown last
        self._calls = 0  # that have been told

    def feed(self, segment: Segment) -> Iterable[Event]:
        """The events that a segment makes certain; a tag begins the next part."""
        if isinstance(segment, Tag):
            return self._next_part()
        part = self._parts[-1]
        return self._show(part, part.feed(segment))

    def close(self, end: Tag | None) -> Iterator[Event]:
        """The events that only the end of the reply makes certain, and the tag that ended it."""
        for part in self._parts:
            yield from self._decide(part, *part.rest(anywhere=end == _OBSERVATION))

    def _next_part(self) -> Iterator[Event]:
        """Decide the part that has ended, if it can be decided before the reply's end."""
        part = self._parts[-1]
        if len(self._parts) == 1:
            text, calls = part.rest(anywhere=False)
            if calls or not part.waits:
                yield from self._decide(part, text, calls)
                self._parts = []
        self._parts.append(Part(self._grammar, waits=bool(self._parts)))

    def _decide(self, part: Part, text: str, calls: Iterable[Written]) -> Iterator[Event]:
        yield from self._show(part, part.show(text))
        for call, written in calls:
            yield ToolCallDelta(self._calls, name=call.name, id=call.id)
            yield ToolCallDelta(self._calls, arguments=written)
            yield call
            self._calls += 1

    def _show(self, part: Part, text: str) -> list[Event]:
        """The text, on a line of its own where it is the first of another part."""
        if not text:
            return []
        apart = self._shown is not None and self._shown is not part
        self._shown = part
        return [TextDelta("\n" + text if apart else text)]


def _next_line(text: str, start: int) -> int:
    """Where the next line begins, -1 if no more do."""
    return text.find("\n", start) + 1 or -1
