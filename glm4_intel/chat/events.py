"""What a reply is made of, while it arrives and as a whole."""

import json
import secrets
from dataclasses import dataclass, field
from typing import Any


def new_call_id() -> str:
    """An id as OpenAI's API gives each call: `call_` and 24 letters and digits."""
    return f"call_{secrets.token_hex(12)}"


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool: a dict of arguments, or the raw text that a built-in tool was given."""

    name: str
    arguments: dict[str, Any] | str
    id: str = field(default_factory=new_call_id, compare=False)
    """By which a result says which call it answers; two calls are equal whatever their ids."""

    def message(self) -> dict[str, Any]:
        """The call in OpenAI's form, with the arguments as JSON text."""
        raw = isinstance(self.arguments, str)
        arguments = self.arguments if raw else json.dumps(self.arguments, ensure_ascii=False)
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": arguments}}


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
    id: str = field(default="", compare=False)
    """The call's, beside its name."""


@dataclass(frozen=True)
class ParsedReply:
    """A whole reply: its text without line breaks at the start, its calls in order, and what was thought before."""

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""


Event = TextDelta | ReasoningDelta | ToolCallDelta | ToolCall
