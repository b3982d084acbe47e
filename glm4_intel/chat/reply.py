"""GLM-4's replies taken apart: reasoning, text, and calls of declared tools.

A reply passes through three readers: `TextStream` (ids) or `TagsInText` (decoded text) makes it segments,
`ThinkingSplit` takes the reasoning off, and `Parts` or `GuidedCall` tells text from calls.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby

from .events import Event, ParsedReply, ReasoningDelta, TextDelta, ToolCall, ToolCallDelta
from .guided import GuidedCall, GuidedLiteral
from .parts import Parts
from .segments import Segment, Tag, TagsInText
from .thinking import Thinking, ThinkingSplit
from .tool_calls import CallGrammar

__all__ = ["Event", "ParsedReply", "PlainText", "ReasoningDelta", "ReplyStream", "TextDelta", "ToolCall",
           "ToolCallDelta", "parse_reply"]  # fmt: skip


def parse_reply(
    text: str, tool_names: Iterable[str] = (), thinking: Thinking = "auto", *, functions: Iterable[str] = ()
) -> ParsedReply:
    """Parse a reply decoded with special tokens visible, the stop token that ended it included.

    `tool_names` and `functions` are ReplyStream's.
    """
    stream = ReplyStream(tool_names, thinking, functions=functions)
    events = stream.feed(text) + stream.close()
    return ParsedReply(
        "".join(event.text for event in events if isinstance(event, TextDelta)),
        tuple(event for event in events if isinstance(event, ToolCall)),
        "".join(event.text for event in events if isinstance(event, ReasoningDelta)),
    )


class ReplyStream:
    """`parse_reply` for a reply that arrives in pieces: text comes out as soon as it can't become a call.

    However the reply is cut, the events add up to what `parse_reply` gives for the whole. `tool_names` are the tools
    that may be called. One that is named like a built-in tool is that tool and takes raw text, unless it is among
    `functions`, those that were declared as functions and take JSON. `guided` says that a grammar makes the answer
    one call, which comes out as it is written; `literal`, that a grammar makes it a text whose line breaks count.
    """

    def __init__(
        self,
        tool_names: Iterable[str] = (),
        thinking: Thinking = "auto",
        guided: bool = False,
        *,
        functions: Iterable[str] = (),
        literal: bool = False,
    ) -> None:
        grammar = CallGrammar(tool_names, functions)
        self._tags = TagsInText()
        self._thinking = ThinkingSplit(thinking)
        self._answer = GuidedCall(grammar) if guided else GuidedLiteral() if literal else Parts(grammar)
        self._end: Tag | None = None

    def feed(self, text: str) -> list[Event]:
        """Take the next piece of a decoded reply, in which tags are text; the events that it makes certain."""
        return self.feed_segments(self._tags.feed(text))

    def feed_segments(self, segments: Iterable[Segment]) -> list[Event]:
        """Take the next segments of a reply, in which text is never a tag; the events that they make certain."""
        return _joined([event for segment in segments for event in self._read(segment)])

    def close(self) -> list[Event]:
        """The events that only the end of the reply makes certain."""
        rest = self._tags.close()
        events = list(self._read(rest)) if rest else []
        return _joined([*events, *self._told(*self._thinking.close()), *self._answer.close(self._end)])

    def _read(self, segment: Segment) -> Iterable[Event]:
        if self._end is not None:
            return ()
        return self._told(*self._thinking.feed(segment))

    def _told(self, thought: str, answer: Iterable[Segment]) -> Iterator[Event]:
        if thought:
            yield ReasoningDelta(thought)
        for segment in answer:
            if isinstance(segment, Tag) and segment.ends_reply:
                self._end = segment
            else:
                yield from self._answer.feed(segment)


class PlainText:
    """A reply that is nothing but text, as a completion is: no line break is taken off, and nothing is a call."""

    def feed_segments(self, segments: Iterable[Segment]) -> list[Event]:
        """The text, with every tag but those that end the reply."""
        told = (each.token if isinstance(each, Tag) else each for each in segments if not _ends(each))
        text = "".join(told)
        return [TextDelta(text)] if text else []

    def close(self) -> list[Event]:
        """Nothing: all of it has been told."""
        return []


def _ends(segment: Segment) -> bool:
    return isinstance(segment, Tag) and segment.ends_reply


def _joined(events: list[Event]) -> list[Event]:
    """The events with neighbouring pieces of text, and of reasoning, made one."""
    if len(events) < 2:
        return events
    joined: list[Event] = []
    for kind, run in groupby(events, key=type):
        if kind is TextDelta or kind is ReasoningDelta:
            joined.append(kind("".join(event.text for event in run if isinstance(event, (TextDelta, ReasoningDelta)))))
        else:
            joined += run
    return joined
