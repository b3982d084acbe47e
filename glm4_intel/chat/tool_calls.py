"""The form in which GLM-4 writes calls: the tool's name on a line of its own, then its arguments.

A function's arguments are a JSON object that begins the next line. A built-in tool takes what follows its name as it
is, up to the end of the part.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn

from .events import ToolCall
from .segments import may_begin
from .tools import BUILT_IN_TOOLS

_AFTER_CALL = re.compile(r"[ \t\r]*(?:\n+|\Z)")


class Written(NamedTuple):
    """A call, and its arguments as they were written."""

    call: ToolCall
    arguments: str


class CallGrammar:
    """The calls that declared tools may be given. White space around a name does not count."""

    def __init__(self, tool_names: Iterable[str], functions: Iterable[str] = ()) -> None:
        functions = frozenset(functions)
        self._names = {name.strip(): name for name in (*tool_names, *functions)}
        self._raw = frozenset(BUILT_IN_TOOLS) - functions  # those that take their arguments as they are

    def __bool__(self) -> bool:
        """Whether any tool is declared."""
        return bool(self._names)

    def name(self, line: str) -> str | None:
        """The declared name that a line is."""
        return self._names.get(line.strip())

    def may_begin(self, text: str, start: int = 0) -> bool | None:
        """Whether a call begins at `start`, where a line does; None where only more text can tell."""
        line_end = text.find("\n", start)
        if line_end < 0:
            return None if may_begin(text[start:].strip(), self._names) else False
        name = self.name(text[start:line_end])
        if name is None:
            return False
        return None if line_end + 1 == len(text) else name in self._raw or text[line_end + 1] == "{"

    def parse_part(self, part: str, at_start: bool, anywhere: bool) -> tuple[str, list[Written]]:
        """The text and the calls of a part, which is all text unless its calls reach to its end.

        Calls may begin at the part's start, if that is where `part` begins, and at any line if they count `anywhere`.
        """
        start = len(part) - len(part.lstrip("\n"))
        while start < len(part) and (at_start or anywhere):
            calls, failed = self.calls(part, start, anywhere)
            if calls:
                return part[:start], calls
            start = part.find("\n", failed) + 1
            if not anywhere or not start:
                break
        return part, []

    def calls(self, part: str, start: int, ended_by_observation: bool) -> tuple[list[Written], int]:
        """The calls that the part consists of from `start` on, or none and the line that is something else.

        The lines before that one are calls in a row, so no later search need begin at them.
        """
        calls: list[Written] = []
        while start < len(part):
            line_end = part.find("\n", start)
            name = self.name(part[start:line_end]) if line_end >= 0 else None
            if name is None:
                return [], start
            if name in self._raw:
                body = part[line_end + 1 :] if ended_by_observation else ""
                return [*calls, Written(ToolCall(name, body), body)] if body else [], start
            arguments, end = _read_object(part, line_end + 1)
            after = _AFTER_CALL.match(part, end)
            if arguments is None or not after:
                return [], start
            calls.append(Written(ToolCall(name, arguments), part[line_end + 1 : end]))
            start = after.end()
        return calls, start


def _read_object(text: str, start: int) -> tuple[dict[str, Any] | None, int]:
    """The JSON object at `start` and where it ends, or None where there is no whole one."""
    try:
        value, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None, start
    return (value if isinstance(value, dict) else None), end


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)
