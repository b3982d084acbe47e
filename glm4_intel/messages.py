"""Conversations: validated, and converted from OpenAI's form to GLM's own before the template sees them.

GLM's form: a system message may carry `tools`; an assistant's call has the tool's name as `metadata` and the
arguments as `content`; a tool's result has the role `observation`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .errors import Glm4Error

Message = Mapping[str, Any]

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant",
         "observation": "observation", "tool": "observation"}  # fmt: skip
ENDS = ("<|endoftext|>", "<|user|>", "<|observation|>")
"""The tokens that end a reply: the end of the text, the user's turn, a tool's turn."""
BUILT_IN_TOOLS = ("python", "simple_browser", "cogview")


def to_glm(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None = None) -> list[dict[str, Any]]:
    """GLM's own form of an OpenAI-style conversation; what is in GLM's form already passes through.

    Raises Glm4Error naming the index and the field of the first fault.
    """
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence):
        raise Glm4Error("messages must be a list of messages", 'For example [{"role": "user", "content": "Hello"}].')
    if not messages:
        raise Glm4Error("messages is empty", 'Give at least one, such as {"role": "user", "content": "Hello"}.')
    leading = [{"role": "system", "tools": check_tools(tools, "tools")}] if tools else []
    return leading + [turn for index, message in enumerate(messages) for turn in _turns(message, f"messages[{index}]")]


def tool_names(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None = None) -> list[str]:
    """The names that a model may call in a conversation that is known to be well-formed."""
    return list(declared_tools(messages, tools))


def declared_tools(
    messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None = None
) -> dict[str, Mapping[str, Any]]:
    """The tools of a conversation that is known to be well-formed, by name."""
    declared = [tools or (), *(message.get("tools") or () for message in messages)]
    return {_tool_name(tool): tool for each in declared for tool in each}


def without_oldest_exchange(messages: Sequence[Message]) -> Sequence[Message]:
    """The messages less the first user's turn and its replies; all of them where only the last turn is left.

    What stands before the first user's turn stays: it is about the whole conversation.
    """
    turns = [index for index, message in enumerate(messages) if message["role"] == "user"]
    if len(turns) < 2:
        return messages
    return [*messages[: turns[0]], *messages[turns[1] :]]


def check_tools(tools: Any, where: str) -> list[dict[str, Any]]:
    """The tools as a list of plain dicts, or a Glm4Error that names the faulty one."""
    if not isinstance(tools, Sequence) or isinstance(tools, (str, bytes)):
        raise Glm4Error(f"{where} must be a list of tools", 'Each like {"type": "function", "function": {"name": …}}.')
    return [_check_tool(tool, f"{where}[{index}]") for index, tool in enumerate(tools)]


def _check_tool(tool: Any, where: str) -> dict[str, Any]:
    if not isinstance(tool, Mapping):
        raise Glm4Error(f"{where} is {type(tool).__name__}, not an object")
    kind = tool.get("type")
    if kind in BUILT_IN_TOOLS:
        return dict(tool)
    if kind != "function":
        raise Glm4Error(f"{where}.type is {kind!r}", f"Use 'function' or one of {', '.join(BUILT_IN_TOOLS)}.")
    function = tool.get("function")
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or not name.strip() or "\n" in name:
        raise Glm4Error(f"{where}.function.name must be one line of text")
    _check_json(function, f"{where}.function")
    return dict(tool)


def _tool_name(tool: Mapping[str, Any]) -> str:
    return str(tool["function"]["name"] if tool["type"] == "function" else tool["type"])


def _turns(message: Any, where: str) -> Iterator[dict[str, Any]]:
    """The one or more turns that a message stands for in GLM's form."""
    if not isinstance(message, Mapping):
        raise Glm4Error(f"{where} is {type(message).__name__}, not an object with role and content")
    if message.get("role") not in ROLES:
        raise Glm4Error(f"{where}.role is {message.get('role')!r}", f"Use one of {', '.join(ROLES)}.")
    role, content = ROLES[message["role"]], _text(message.get("content"), f"{where}.content")
    calls = message.get("tool_calls")
    if calls:
        yield from _calls(calls, role, content, where)
        return
    if content is None and not message.get("tools"):
        raise Glm4Error(f"{where}.content is missing", "Give it a string.")
    turn: dict[str, Any] = {"role": role} | ({} if content is None else {"content": content})
    if message.get("metadata"):
        turn["metadata"] = _one_line(message["metadata"], f"{where}.metadata")
    if message.get("tools"):
        turn["tools"] = check_tools(message["tools"], f"{where}.tools")
    yield turn


def _calls(calls: Any, role: str, content: str | None, where: str) -> Iterator[dict[str, Any]]:
    if role != "assistant":
        raise Glm4Error(f"{where}.tool_calls belongs to an assistant message, not to {role}")
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        raise Glm4Error(f"{where}.tool_calls must be a list")
    if content:
        yield {"role": "assistant", "content": content}
    for index, call in enumerate(calls):
        field = f"{where}.tool_calls[{index}].function"
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not function.get("name"):
            raise Glm4Error(f"{field}.name is missing")
        name = _one_line(function["name"], f"{field}.name")
        yield {"role": "assistant", "metadata": name, "content": _arguments(function.get("arguments"), field)}


def _arguments(arguments: Any, where: str) -> str:
    """A call's arguments as JSON text; an empty text would make the template drop the turn."""
    if arguments is None or arguments == "":
        return "{}"
    if isinstance(arguments, str):
        return arguments
    _check_json(arguments, f"{where}.arguments")
    return json.dumps(arguments, ensure_ascii=False)


def _text(content: Any, where: str) -> str | None:
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        raise Glm4Error(f"{where} is {type(content).__name__}", "Use a string or a list of text parts.")
    return "".join(_part(part, f"{where}[{index}]") for index, part in enumerate(content))


def _part(part: Any, where: str) -> str:
    kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
    if kind != "text" or not isinstance(part.get("text"), str):
        raise Glm4Error(f"{where} is a part of type {kind!r}", 'GLM-4 reads {"type": "text", "text": …} alone.')
    return str(part["text"])


def _one_line(value: Any, where: str) -> str:
    if not isinstance(value, str) or "\n" in value:
        raise Glm4Error(f"{where} must be one line of text")
    return value


def _check_json(value: Any, where: str) -> None:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise Glm4Error(f"{where} is not JSON: {error}") from error
