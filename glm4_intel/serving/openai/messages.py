"""OpenAI's messages and tools without what only their servers use; what would be lost by that is refused."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import BadRequest

_KNOWN = {"role", "content", "tool_calls", "tool_call_id", "metadata", "tools"}
_DROPPED = ("reasoning_content", "reasoning", "annotations")
"""What an assistant's message comes back with; a model's thoughts are not told to it again."""


def plain_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages with the fields that are read. Raises BadRequest for any other that says something."""
    return [_plain(message, f"messages[{index}]") for index, message in enumerate(messages)]


def _plain(message: Mapping[str, Any], where: str) -> dict[str, Any]:
    for name, value in message.items():
        labels = name == "name" and message.get("role") in ("tool", "function")
        dropped = name in _DROPPED and message.get("role") == "assistant"
        if name not in _KNOWN and value is not None and not labels and not dropped:
            raise BadRequest(f"{where}.{name} can't be told to GLM-4", "Leave it out.", "messages")
    plain = {name: value for name, value in message.items() if name in _KNOWN}
    if plain.get("content") is None and not plain.get("tool_calls") and plain.get("role") == "assistant":
        plain["content"] = ""
    return plain


def plain_tools(tools: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]] | None:
    """The tools as GLM-4's template shows them: `strict` is the server's word and no part of them."""
    return [_without_strict(tool) for tool in tools] if tools else None


def strict_names(tools: Sequence[Mapping[str, Any]] | None) -> frozenset[str]:
    """The functions whose calls must satisfy their schema. Raises BadRequest where that is neither said nor denied."""
    names = set[str]()
    for index, tool in enumerate(tools or ()):
        function = tool.get("function")
        strict = function.get("strict") if isinstance(function, Mapping) else None
        if strict not in (None, True, False):
            raise BadRequest(f"tools[{index}].function.strict must be true or false", field="tools")
        if strict and isinstance(function, Mapping):
            names.add(str(function.get("name")))
    return frozenset(names)


def _without_strict(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    if not isinstance(function, Mapping):
        return dict(tool)
    return {**tool, "function": {name: value for name, value in function.items() if name != "strict"}}
