"""Tools as a conversation declares them: functions in OpenAI's form, and the three that GLM-4 knows by name."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import Glm4Error

BUILT_IN_TOOLS = ("python", "simple_browser", "cogview")


@dataclass(frozen=True)
class DeclaredTool:
    """A tool that the model may call by `name`; `declaration` is what the chat template is given."""

    name: str
    declaration: Mapping[str, Any]

    @property
    def built_in(self) -> bool:
        """Whether the model writes it plain text rather than JSON arguments."""
        return bool(self.declaration["type"] != "function")

    @property
    def parameters(self) -> Any:
        """The JSON schema of a function's arguments."""
        return self.declaration["function"].get("parameters") or {"type": "object"}


def parse_tools(tools: Any, where: str) -> tuple[DeclaredTool, ...]:
    """The tools of a list in OpenAI's form. Raises Glm4Error that names the faulty one by `where`."""
    if not isinstance(tools, Sequence) or isinstance(tools, (str, bytes)):
        raise Glm4Error(f"{where} must be a list of tools", 'Each like {"type": "function", "function": {"name": …}}.')
    return tuple(_parse_tool(tool, f"{where}[{index}]") for index, tool in enumerate(tools))


def _parse_tool(tool: Any, where: str) -> DeclaredTool:
    if not isinstance(tool, Mapping):
        raise Glm4Error(f"{where} is {type(tool).__name__}, not an object")
    kind = tool.get("type")
    if kind in BUILT_IN_TOOLS:
        return DeclaredTool(str(kind), dict(tool))
    if kind != "function":
        raise Glm4Error(f"{where}.type is {kind!r}", f"Use 'function' or one of {', '.join(BUILT_IN_TOOLS)}.")
    function = tool.get("function")
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or not name.strip() or "\n" in name:
        raise Glm4Error(f"{where}.function.name must be one line of text")
    require_json(function, f"{where}.function")
    return DeclaredTool(name, dict(tool))


def require_json(value: Any, where: str) -> None:
    """Raises Glm4Error for a value that can't be written as JSON."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise Glm4Error(f"{where} is not JSON: {error}") from error
