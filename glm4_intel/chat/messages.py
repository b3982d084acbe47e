"""Messages: validated, and converted from OpenAI's form to the turns of GLM's own that the chat template reads.

GLM's form: a system turn may carry `tools`; an assistant's call has the tool's name as `metadata` and the arguments as
`content`; a tool's result has the role `observation`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import Glm4Error
from .tools import DeclaredTool, parse_tools, require_json

RawMessage = Mapping[str, Any]
"""A message as a caller gives it, in OpenAI's form or in GLM's."""
Turn = dict[str, Any]
"""role, and content, metadata or tools: what the chat template reads."""

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant",
         "observation": "observation", "tool": "observation", "function": "observation"}  # fmt: skip
ENDS = ("<|endoftext|>", "<|user|>", "<|observation|>")
"""The tokens that end a reply: the end of the text, the user's turn, a tool's turn."""
_TEXT_PARTS = ("text", "input_text", "output_text")


@dataclass(frozen=True)
class Message:
    """A message that is known to be well-formed, as the one or more turns that it stands for."""

    turns: tuple[Turn, ...]
    tools: tuple[DeclaredTool, ...] = ()
    """Those that a system message of GLM's form declares."""
    call_ids: tuple[str, ...] = ()
    """Of an assistant's calls; or the one that a tool's result answers."""

    @property
    def role(self) -> str:
        return str(self.turns[0]["role"])


def parse_messages(messages: Any) -> tuple[Message, ...]:
    """The messages of a conversation. Raises Glm4Error naming the index and the field of the first fault."""
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence):
        raise Glm4Error("messages must be a list of messages", 'For example [{"role": "user", "content": "Hello"}].')
    if not messages:
        raise Glm4Error("messages is empty", 'Give at least one, such as {"role": "user", "content": "Hello"}.')
    parsed = (_parse(message, f"messages[{index}]") for index, message in enumerate(messages))
    return tuple(_results_in_order_of_their_calls(parsed))


def _parse(message: Any, where: str) -> Message:
    if not isinstance(message, Mapping):
        raise Glm4Error(f"{where} is {type(message).__name__}, not an object with role and content")
    role = ROLES.get(str(message.get("role")))
    if role is None:
        raise Glm4Error(f"{where}.role is {message.get('role')!r}", f"Use one of {', '.join(ROLES)}.")
    content = _text(message.get("content"), f"{where}.content")
    if calls := message.get("tool_calls"):
        return _assistant_calls(calls, role, content, where)
    if content is None and not message.get("tools"):
        raise Glm4Error(f"{where}.content is missing", "Give it a string.")
    turn: Turn = {"role": role} | ({} if content is None else {"content": content})
    if message.get("metadata"):
        turn["metadata"] = _one_line(message["metadata"], f"{where}.metadata")
    tools = parse_tools(message["tools"], f"{where}.tools") if message.get("tools") else ()
    if tools:
        turn["tools"] = [tool.declaration for tool in tools]
    answered = message.get("tool_call_id") if role == "observation" else None
    return Message((turn,), tools, (answered,) if isinstance(answered, str) else ())


def _assistant_calls(calls: Any, role: str, content: str | None, where: str) -> Message:
    if role != "assistant":
        raise Glm4Error(f"{where}.tool_calls belongs to an assistant message, not to {role}")
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        raise Glm4Error(f"{where}.tool_calls must be a list")
    said: tuple[Turn, ...] = ({"role": "assistant", "content": content},) if content else ()
    turns = tuple(_call(call, f"{where}.tool_calls[{index}].function") for index, call in enumerate(calls))
    return Message((*said, *turns), (), tuple(str(call.get("id", "")) for call in calls))


def _call(call: Any, where: str) -> Turn:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not function.get("name"):
        raise Glm4Error(f"{where}.name is missing")
    name = _one_line(function["name"], f"{where}.name")
    return {"role": "assistant", "metadata": name, "content": _arguments(function.get("arguments"), where)}


def _arguments(arguments: Any, where: str) -> str:
    """A call's arguments as JSON text; an empty text would make the template drop the turn."""
    if arguments is None or arguments == "":
        return "{}"
    if isinstance(arguments, str):
        return arguments
    require_json(arguments, f"{where}.arguments")
    return json.dumps(arguments, ensure_ascii=False)


def _results_in_order_of_their_calls(messages: Iterable[Message]) -> Iterator[Message]:
    """GLM tells which call a result answers by its place; OpenAI's clients, by its id, in any order."""
    order: tuple[str, ...] = ()
    results: list[Message] = []
    for message in messages:
        if message.role == "observation" and message.call_ids and message.call_ids[0] in order:
            results.append(message)
            continue
        yield from sorted(results, key=lambda result: order.index(result.call_ids[0]))
        order, results = message.call_ids if message.role == "assistant" else (), []
        yield message
    yield from sorted(results, key=lambda result: order.index(result.call_ids[0]))


def _text(content: Any, where: str) -> str | None:
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        raise Glm4Error(f"{where} is {type(content).__name__}", "Use a string or a list of text parts.")
    return "".join(_part(part, f"{where}[{index}]") for index, part in enumerate(content))


def _part(part: Any, where: str) -> str:
    kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
    if kind not in _TEXT_PARTS or not isinstance(part.get("text"), str):
        raise Glm4Error(f"{where} is a part of type {kind!r}", 'GLM-4 reads {"type": "text", "text": …} alone.')
    return str(part["text"])


def _one_line(value: Any, where: str) -> str:
    if not isinstance(value, str) or "\n" in value:
        raise Glm4Error(f"{where} must be one line of text")
    return value
