"""GLM-4's replies taken apart: text, and calls of declared tools.

A call is a line that is exactly a declared name, then a line that begins a JSON object. It counts at the start of the
reply or of an `<|assistant|>` part, and anywhere if the reply ended with `<|observation|>`; after it must come the
end, `<|assistant|>` or another call. Everything else is text. Built-in tools take what follows their name as it is.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NoReturn

from .messages import BUILT_IN_TOOLS, ENDS
from .thinking import Thinking, ThinkingSplit, begun_tag

_PART = "<|assistant|>"
_TAG = re.compile("|".join(map(re.escape, (_PART, *ENDS))))
_BLANK = " \t\r"
_AFTER_CALL = re.compile(r"[ \t\r]*(?:\n+|\Z)")


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool: a dict of arguments, or the raw text that a built-in tool was given."""

    name: str
    arguments: dict[str, Any] | str


@dataclass(frozen=True)
class TextDelta:
    """A further piece of the reply's text."""

    text: str


@dataclass(frozen=True)
class ReasoningDelta:
    """A further piece of what a reasoning model thinks before its answer."""

    text: str


@dataclass(frozen=True)
class ToolCallDelta:
    """A piece of a call that is certain: first its name, then its arguments as the model wrote them."""

    index: int
    """The call's place among the reply's calls, from 0."""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True)
class ParsedReply:
    """A whole reply: its text without line breaks at the start, its calls in order, and what was thought before."""

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""


Event = TextDelta | ReasoningDelta | ToolCallDelta | ToolCall


def parse_reply(text: str, tool_names: Iterable[str] = (), thinking: Thinking = "auto") -> ParsedReply:
    """Parse a reply decoded with special tokens visible, the stop token that ended it included."""
    stream = ReplyStream(tool_names, thinking)
    events = stream.feed(text) + stream.close()
    return ParsedReply(
        "".join(event.text for event in events if isinstance(event, TextDelta)),
        tuple(event for event in events if isinstance(event, ToolCall)),
        "".join(event.text for event in events if isinstance(event, ReasoningDelta)),
    )


class ReplyStream:
    """`parse_reply` for a reply that arrives in pieces: text comes out as soon as it can't become a call.

    However the reply is cut, the events add up to what `parse_reply` gives for the whole. A call is certain when its
    part has ended, since what follows its arguments could yet make it text; then come its name and its arguments as
    deltas, and the call. Where a grammar made sure of the call (`guided`), they come as they are written.
    """

    def __init__(self, tool_names: Iterable[str] = (), thinking: Thinking = "auto", guided: bool = False) -> None:
        self._thinking, self._guided = ThinkingSplit(thinking), guided
        self._calls = 0  # that have been told
        self._names = frozenset(tool_names)
        self._prefixes = {name[:length] for name in self._names for length in range(len(name) + 1)}
        self._unread = ""  # may be the beginning of a tag
        self._undecided: list[tuple[str, bool]] = []  # parts that the reply's end decides, and whether none was shown
        self._shown = False  # some text of the reply has been shown
        self._ended = ""
        self._held: list[str] = []  # the part from a line on that may be a call
        self._line = ""  # the beginning of a line that may be a name
        self._breaks = 0  # line breaks before it, which a call would drop
        self._fresh = True  # nothing of this part has been shown
        self._mid_line = False  # the beginning of this line has been shown

    def feed(self, text: str) -> list[Event]:
        """Take the next piece of the reply; the events that it makes certain."""
        if self._ended:
            return []
        thought, text = self._thinking.feed(text)
        return _joined([*_reasoning(thought), *self._feed(text)])

    def _feed(self, text: str) -> list[Event]:
        events: list[Event] = []
        if self._ended:
            return events
        unread, start = self._unread + text, 0
        for tag in _TAG.finditer(unread):
            events += self._read(unread[start : tag.start()])
            start = tag.end()
            if tag.group() != _PART:
                self._ended = tag.group()
                break
            events += self._next_part()
        self._unread = unread[start:]
        if not self._ended:
            events += self._read(self._take_unread())
        return events

    def close(self) -> list[Event]:
        """The events that only the end of the reply makes certain."""
        thought, text = self._thinking.close()
        events = [*_reasoning(thought), *self._feed(text)]
        if not self._ended:
            events += self._read(self._unread)
        if self._guided:
            return _joined([*events, *self._guided_call()])
        anywhere = self._ended == "<|observation|>"
        if self._held or self._undecided:
            for part, fresh in [*self._undecided, ("".join(self._held), self._fresh)]:
                self._fresh = fresh
                text, calls = _parse_part(part, self._names, fresh, anywhere)
                events += [*self._show(text), *self._tell(calls)]
        else:
            events += self._show_line(self._line.rstrip("\n"))
        self._undecided = []
        self._start_part()
        return _joined(events)

    def _take_unread(self) -> str:
        """What has been fed, up to a `<` that may begin a tag."""
        whole = len(self._unread) - begun_tag(self._unread, (_PART, *ENDS))
        taken, self._unread = self._unread[:whole], self._unread[whole:]
        return taken

    def _read(self, text: str) -> Iterator[Event]:
        """Read further text of a part, showing each line that is no candidate for a call."""
        if self._guided:
            yield from self._read_guided(text)
            return
        if self._held or self._undecided:
            self._held.append(text)
            return
        lines = (self._line + text).split("\n")
        for index, line in enumerate(lines[:-1]):
            following, last = lines[index + 1], index + 2 == len(lines)
            if not self._mid_line and self._is_name(line):
                if last and not following:
                    self._line = line + "\n"  # what comes next decides
                    return
                if following.startswith("{") or line.rstrip(_BLANK) in BUILT_IN_TOOLS:
                    breaks, self._breaks, self._line = "\n" * self._breaks, 0, ""
                    self._held = [breaks + "\n".join(lines[index:])]
                    return
            yield from self._show_line(line)
            self._breaks += 1
            self._mid_line = False
        self._line = lines[-1]
        if self._mid_line or self._line.rstrip(_BLANK) not in self._prefixes:
            yield from self._show_line(self._line)
            self._line, self._mid_line = "", True

    def _is_name(self, line: str) -> bool:
        return line.rstrip(_BLANK) in self._names

    def _show_line(self, line: str) -> Iterator[Event]:
        """Show a line or the beginning of one, with the line breaks that were kept back before it."""
        if line:
            breaks, self._breaks = "\n" * self._breaks, 0
            yield from self._show(breaks + line)

    def _show(self, text: str) -> Iterator[Event]:
        if self._fresh:
            text = text.lstrip("\n")
            if text and self._shown:
                text = "\n" + text
        if text:
            self._fresh, self._shown = False, True
            yield TextDelta(text)

    def _next_part(self) -> Iterator[Event]:
        """Decide the part that `<|assistant|>` has ended, if it can be decided before the reply's end."""
        if self._held and not self._undecided and self._fresh:
            _, calls = _parse_part("".join(self._held), self._names, True, False)
            if calls:
                self._held = []
                yield from self._tell(calls)
        if self._held or self._undecided:
            self._undecided.append(("".join(self._held), self._fresh))
        else:
            yield from self._show_line(self._line.rstrip("\n"))
        self._start_part()

    def _start_part(self) -> None:
        self._held, self._line, self._breaks, self._fresh, self._mid_line = [], "", 0, True, False

    def _tell(self, calls: Iterable["_Written"]) -> Iterator[Event]:
        for call, written in calls:
            yield ToolCallDelta(self._calls, name=call.name)
            yield ToolCallDelta(self._calls, arguments=written)
            yield call
            self._calls += 1

    def _read_guided(self, text: str) -> Iterator[Event]:
        """A name on a line of its own and then arguments to the end, which is all that the grammar lets through."""
        if not text:
            return
        if self._held:
            self._held.append(text)
            yield ToolCallDelta(0, arguments=text)
            return
        self._line += text
        name, line_break, arguments = self._line.partition("\n")
        if line_break:
            self._held = [name, arguments]
            yield ToolCallDelta(0, name=name)
            if arguments:
                yield ToolCallDelta(0, arguments=arguments)

    def _guided_call(self) -> Iterator[Event]:
        """The call, if its arguments were not cut off."""
        name, arguments = (self._held or [""])[0], "".join(self._held[1:])
        written = f"{name}\n{arguments}"
        calls, _ = _calls(written, 0, self._names, ended_by_observation=True) if name else ([], 0)
        for call, _ in calls:
            yield call


def _parse_part(part: str, names: frozenset[str], at_start: bool, anywhere: bool) -> tuple[str, list["_Written"]]:
    """The text and the calls of one part, which is all text unless its calls reach to its end.

    Calls may begin at the part's start, if that is where `part` begins, and at any line if they count `anywhere`.
    """
    start = len(part) - len(part.lstrip("\n"))
    while start < len(part) and (at_start or anywhere):
        calls, failed = _calls(part, start, names, anywhere)
        if calls:
            return part[:start].rstrip("\n"), calls
        start = part.find("\n", failed) + 1
        if not anywhere or not start:
            break
    return part.rstrip("\n"), []


_Written = tuple[ToolCall, str]
"""A call, and its arguments as they were written."""


def _calls(part: str, start: int, names: frozenset[str], ended_by_observation: bool) -> tuple[list[_Written], int]:
    """The calls that the part consists of from `start` on, or none and the line that is something else.

    The lines before that one are calls in a row, so no later search need begin at them.
    """
    calls: list[_Written] = []
    while start < len(part):
        line_end = part.find("\n", start)
        name = part[start:line_end].rstrip(_BLANK)
        if line_end < 0 or name not in names:
            return [], start
        if name in BUILT_IN_TOOLS:
            body = part[line_end + 1 :]
            return ([*calls, (ToolCall(name, body), body)] if ended_by_observation and body else []), start
        try:
            arguments, end = _DECODER.raw_decode(part, line_end + 1)
        except (ValueError, RecursionError):
            return [], start
        after = _AFTER_CALL.match(part, end)
        if not isinstance(arguments, dict) or not after:
            return [], start
        calls.append((ToolCall(name, arguments), part[line_end + 1 : end]))
        start = after.end()
    return calls, start


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def _reasoning(thought: str) -> list[Event]:
    return [ReasoningDelta(thought)] if thought else []


def _joined(events: Iterable[Event]) -> list[Event]:
    """The events with neighbouring pieces of text made one."""
    joined: list[Event] = []
    for kind, run in groupby(events, key=type):
        if kind is TextDelta:
            joined.append(TextDelta("".join(event.text for event in run if isinstance(event, TextDelta))))
        else:
            joined += run
    return joined
