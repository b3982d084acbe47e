"""Answers that a grammar made sure of, so that they need not wait for their end to be told."""

from collections.abc import Iterator
from dataclasses import replace

from .events import Event, TextDelta, ToolCallDelta, new_call_id
from .segments import Segment, Tag
from .tool_calls import CallGrammar


class GuidedCall:
    """Reads the segments of an answer that is one call: its name and arguments come out as they are written."""

    def __init__(self, grammar: CallGrammar) -> None:
        self._grammar = grammar
        self._id = new_call_id()
        self._name_line = ""  # with its line break once it is whole
        self._arguments: list[str] = []

    def feed(self, segment: Segment) -> Iterator[Event]:
        """The events that a segment makes certain; a tag that the grammar let through is text in an argument."""
        text = segment.token if isinstance(segment, Tag) else segment
        if not self._name_line.endswith("\n"):
            line, line_break, text = (self._name_line + text).partition("\n")
            self._name_line = line + line_break
            if line_break:
                yield ToolCallDelta(0, name=self._grammar.name(line) or line, id=self._id)
        if text:
            self._arguments.append(text)
            yield ToolCallDelta(0, arguments=text)

    def close(self, end: Tag | None) -> Iterator[Event]:
        """The call, if its arguments were not cut off."""
        written = self._name_line + "".join(self._arguments)
        calls, _ = self._grammar.calls(written, 0, ended_by_observation=True)
        for call, _ in calls:
            yield replace(call, id=self._id)


class GuidedLiteral:
    """Reads the segments of an answer that is a text to the letter, but for the one line break that begins it."""

    def __init__(self) -> None:
        self._begun = False

    def feed(self, segment: Segment) -> Iterator[Event]:
        """The text, a tag that the grammar let through included."""
        text = segment.token if isinstance(segment, Tag) else segment
        if not self._begun:
            self._begun, text = True, text.removeprefix("\n")
        if text:
            yield TextDelta(text)

    def close(self, end: Tag | None) -> Iterator[Event]:
        """Nothing: all of it has been told."""
        return iter(())
