"""What a reply must look like, from OpenAI's `response_format` and `tool_choice`, as a grammar in GLM-4's own form.

A plain answer begins with a line break; a call is the tool's name, a line break and its arguments as JSON. The JSON is
written as GLM-4 was trained to write it, with one space after a colon or comma and none elsewhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .errors import Glm4Error
from .json_grammar import json_grammar
from .messages import BUILT_IN_TOOLS, Message, declared_tools
from .thinking import Thinking

Kind = Literal["grammar", "regex", "text", "nothing"]
_FORMATS = ("text", "json_object", "json_schema", "regex", "choice")


@dataclass(frozen=True)
class Form:
    """A literal text, and what comes after it: an EBNF grammar, a regular expression, any text, or the end."""

    start: str
    kind: Kind
    spec: str = ""


@dataclass(frozen=True)
class Guide:
    """The forms that a reply may take, after the `<think>` part of a model that has one."""

    forms: tuple[Form, ...]
    thinking: Thinking = "off"


def response_guide(
    response_format: Mapping[str, Any] | None, guide: Guide | None, thinking: Thinking = "off"
) -> Guide | None:
    """The guide for a response format, or the one there is of a tool choice. Raises Glm4Error for one that is neither.

    The formats: {"type": "json_schema", "json_schema": {"schema": …}}, {"type": "json_object"}, {"type": "regex",
    "regex": …}, {"type": "choice", "choice": […]} and {"type": "text"}.
    """
    kind = response_format.get("type") if isinstance(response_format, Mapping) else None
    if response_format is None or kind == "text":
        return guide
    if kind not in _FORMATS:
        raise Glm4Error(f"response_format.type is {kind!r}", f"Use one of {', '.join(_FORMATS)}.")
    if guide:
        raise Glm4Error("response_format and tool_choice both say what the reply must be", "Leave one of them out.")
    return Guide(tuple(_response_forms(kind, response_format)), thinking)


def _response_forms(kind: str, response_format: Mapping[str, Any]) -> Iterable[Form]:
    if kind == "json_object":
        yield Form("\n", "grammar", json_grammar({"type": "object"}, "response_format"))
    elif kind == "json_schema":
        named = response_format.get("json_schema")
        schema = named.get("schema", named) if isinstance(named, Mapping) else named
        if not isinstance(schema, (Mapping, bool)):
            raise Glm4Error("response_format.json_schema.schema is missing", 'Give it, such as {"type": "object", …}.')
        yield Form("\n", "grammar", json_grammar(schema, "response_format.json_schema.schema"))
    elif kind == "regex":
        pattern = response_format.get("regex")
        if not isinstance(pattern, str) or not pattern:
            raise Glm4Error("response_format.regex must be a regular expression")
        yield Form("\n", "regex", pattern)
    else:
        choices = response_format.get("choice")
        if not isinstance(choices, Sequence) or isinstance(choices, str) or not choices:
            raise Glm4Error("response_format.choice must be a list of texts, at least one")
        for choice in choices:
            if not isinstance(choice, str) or not choice:
                raise Glm4Error(f"response_format.choice has {choice!r} in it, which is no text")
            yield Form("\n" + choice, "nothing")


def tool_guide(
    messages: Sequence[Message],
    tools: Sequence[Mapping[str, Any]] | None,
    tool_choice: str | Mapping[str, Any],
    thinking: Thinking = "off",
) -> Guide | None:
    """The guide that makes the reply a call: of any declared tool ("required"), or of the named one.

    Raises Glm4Error for a choice that is none, a tool that is not declared, or a schema that can't be guided.
    """
    if tool_choice in ("auto", "none"):
        return None
    declared = declared_tools(messages, tools)
    if tool_choice == "required":
        chosen = list(declared)
    else:
        function = tool_choice.get("function") if isinstance(tool_choice, Mapping) else None
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(name, str):
            raise Glm4Error(
                f"tool_choice is {tool_choice!r}",
                'Use "auto", "none", "required" or {"type": "function", "function": {"name": …}}.',
            )
        chosen = [name]
    if not declared or any(name not in declared for name in chosen):
        missing = "a tool" if not declared else chosen[0]
        raise Glm4Error(f"tool_choice asks for {missing}, which is not declared", "Declare it in tools.")
    return Guide(tuple(_tool_form(name, declared[name]) for name in chosen), thinking)


def _tool_form(name: str, tool: Mapping[str, Any]) -> Form:
    if name in BUILT_IN_TOOLS and tool["type"] == name:
        return Form(f"{name}\n", "text")
    parameters = tool["function"].get("parameters") or {"type": "object"}
    return Form(f"{name}\n", "grammar", json_grammar(_as_object(parameters), f"the parameters of {name}"))


def _as_object(schema: Any) -> Any:
    """Arguments are an object, whether or not their schema says so."""
    return {"type": "object", **schema} if isinstance(schema, Mapping) and "type" not in schema else schema
