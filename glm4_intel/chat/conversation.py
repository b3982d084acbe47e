"""A conversation: parsed once, where it comes in, and taken as it is by everything else."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

from .guide import Form, Guide, called_forms, response_forms, strict_forms
from .messages import Message, RawMessage, Turn, parse_messages
from .thinking import Thinking
from .tools import DeclaredTool, parse_tools

ToolChoice = str | Mapping[str, Any] | None
"""OpenAI's: "auto" or None, "none", "required" or "any", {"type": "function", "function": {"name": …}}."""


class TurnEncoder(Protocol):
    """What makes a prompt of turns: a ChatTokenizer."""

    def encode_turns(
        self, turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]], add_generation_prompt: bool
    ) -> list[int]: ...


@dataclass(frozen=True)
class Conversation:
    """What was said, the tools that may be called, and what the reply must look like."""

    messages: tuple[Message, ...]
    tools: tuple[DeclaredTool, ...] = ()
    """Those that were given beside the messages, and that the template is shown."""
    forms: tuple[Form, ...] = ()
    """What the reply must be one of; empty where it is free."""
    must_call: bool = False
    """Whether those forms are calls."""
    may_call: bool = field(default=True, kw_only=True)
    strict: tuple[Form, ...] = field(default=(), kw_only=True)
    """Of a free reply, what its calls must be if it makes them."""

    @classmethod
    def parse(
        cls,
        messages: Sequence[RawMessage],
        tools: Sequence[Mapping[str, Any]] | None = None,
        tool_choice: ToolChoice = "auto",
        response_format: Mapping[str, Any] | None = None,
        strict: Collection[str] = (),
    ) -> "Conversation":
        """Messages, tools, tool choice and response format in OpenAI's form, or messages in GLM's.

        `strict` are the names of functions whose calls must satisfy their schema, whether or not one is asked for.
        Raises Glm4Error naming the first fault, and for a reply that can't be guided.
        """
        parsed, may_call = parse_messages(messages), tool_choice != "none"
        beside = parse_tools(tools, "tools") if tools else ()
        declared = {tool.name: tool for tool in [*beside, *_declared_in(parsed)]}
        called = called_forms(declared, tool_choice)
        forms = response_forms(response_format, called)
        held = strict_forms(declared, strict) if may_call and not forms else ()
        return cls(parsed, beside if may_call else (), forms, bool(called), may_call=may_call, strict=held)

    @cached_property
    def declared(self) -> Mapping[str, DeclaredTool]:
        """The tools that the reply may call, by name."""
        if not self.may_call:
            return {}
        return {tool.name: tool for tool in [*self.tools, *_declared_in(self.messages)]}

    @property
    def turns(self) -> list[Turn]:
        """The messages in GLM's form."""
        return [turn for message in self.messages for turn in message.turns]

    @property
    def exchanges(self) -> list[int]:
        """Where each exchange begins: the indices of the user's messages."""
        return [index for index, message in enumerate(self.messages) if message.role == "user"]

    @property
    def literal(self) -> bool:
        """Whether the reply is one of given texts, or matches an expression, to the letter."""
        return any(form.literal for form in self.forms)

    def guide(self, thinking: Thinking) -> Guide | None:
        """What holds the reply to its forms, after the thoughts of a model that has them."""
        return Guide(self.forms, thinking, self.strict) if self.forms or self.strict else None

    def render(self, tokenizer: TurnEncoder, add_generation_prompt: bool = True) -> list[int]:
        """The token ids of the prompt. Raises Glm4Error where the chat template refuses the messages."""
        shown = [tool.declaration for tool in self.tools]
        return tokenizer.encode_turns(self.turns, shown, add_generation_prompt)

    def extended(self, messages: Sequence[RawMessage]) -> "Conversation":
        """The conversation with further messages, of which alone something is parsed."""
        return replace(self, messages=(*self.messages, *parse_messages(messages)))

    def without_oldest(self, exchanges: int) -> "Conversation":
        """The conversation less its first exchanges; what stands before the first of the user's messages stays."""
        starts = self.exchanges
        if not exchanges:
            return self
        kept = (*self.messages[: starts[0]], *self.messages[starts[exchanges] :])
        return replace(self, messages=kept)


def _declared_in(messages: Sequence[Message]) -> list[DeclaredTool]:
    return [tool for message in messages for tool in message.tools]
