"""What a reply must look like, from OpenAI's `response_format` and `tool_choice`, as a grammar in GLM-4's own form.

A plain answer begins with a line break; a call is the tool's name, a line break and its arguments as JSON. The JSON is
written as GLM-4 was trained to write it, with one space after a colon or comma and none elsewhere.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import Glm4Error
from .json_grammar import choice_grammar, json_grammar, regex_grammar
from .segments import TAGS
from .thinking import Thinking
from .tools import DeclaredTool

Kind = Literal["grammar", "text"]
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\(?:0|x00|u0000|u\{0+\}|x\{0+\}|c@)")


@dataclass(frozen=True)
class Form:
    """A literal text, and what comes after it: an EBNF grammar, or any text."""

    start: str
    kind: Kind
    spec: str = ""
    literal: bool = False
    """Whether the reply is what follows the literal text, to the letter: line breaks at its ends belong to it."""


@dataclass(frozen=True)
class Guide:
    """The forms that a reply may take, after the `<think>` part of a model that has one."""

    forms: tuple[Form, ...]
    thinking: Thinking = "off"
    calls: tuple[Form, ...] = ()
    """Where there are no forms: text is free, but what follows the start of one of these is held to it."""


def response_forms(response_format: Mapping[str, Any] | None, called: Sequence[Form]) -> tuple[Form, ...]:
    """The forms of a response format, or those of a tool choice (`called`) where there is none.

    The formats: {"type": "json_schema", "json_schema": {"schema": …}}, {"type": "json_object"}, {"type": "regex",
    "regex": …}, {"type": "choice", "choice": […]} and {"type": "text"}. Raises Glm4Error for one that is none of them.
    """
    kind = response_format.get("type") if isinstance(response_format, Mapping) else None
    if response_format is None or kind == "text":
        return tuple(called)
    if not isinstance(kind, str) or kind not in _FORMATS:
        raise Glm4Error(f"response_format.type is {kind!r}", f"Use one of text, {', '.join(_FORMATS)}.")
    if called:
        raise Glm4Error("response_format and tool_choice both say what the reply must be", "Leave one of them out.")
    return tuple(_FORMATS[kind](response_format))


def _any_object(response_format: Mapping[str, Any]) -> Iterable[Form]:
    yield Form("\n", "grammar", json_grammar({"type": "object"}, "response_format"))


def _by_schema(response_format: Mapping[str, Any]) -> Iterable[Form]:
    named = response_format.get("json_schema")
    schema = named.get("schema", named) if isinstance(named, Mapping) else named
    if not isinstance(schema, (Mapping, bool)):
        raise Glm4Error("response_format.json_schema.schema is missing", 'Give it, such as {"type": "object", …}.')
    yield Form("\n", "grammar", json_grammar(schema, "response_format.json_schema.schema"))


def _by_regex(response_format: Mapping[str, Any]) -> Iterable[Form]:
    pattern = response_format.get("regex")
    if not isinstance(pattern, str) or not pattern:
        raise Glm4Error("response_format.regex must be a regular expression")
    if "\0" in pattern or _NUL.search(pattern):  # no reply holds one
        raise Glm4Error("response_format.regex has the character NUL in it", "Leave it out.")
    if any("\ud800" <= character <= "\udfff" for character in pattern):
        raise Glm4Error("response_format.regex has half a surrogate pair in it", "Write the whole character.")
    yield Form("\n", "grammar", regex_grammar(pattern, "response_format.regex"), literal=True)


def _one_of(response_format: Mapping[str, Any]) -> Iterable[Form]:
    choices = response_format.get("choice")
    if not isinstance(choices, Sequence) or isinstance(choices, str) or not choices:
        raise Glm4Error("response_format.choice must be a list of texts, at least one")
    for choice in choices:
        if not isinstance(choice, str) or not choice:
            raise Glm4Error(f"response_format.choice has {choice!r} in it, which is no text")
        if "\0" in choice or any(tag in choice for tag in TAGS):
            raise Glm4Error(f"response_format.choice has {choice!r} in it, which a reply can't hold")
    yield Form("\n", "grammar", choice_grammar(list(choices)), literal=True)


_FORMATS: dict[str, Callable[[Mapping[str, Any]], Iterable[Form]]] = {
    "json_object": _any_object, "json_schema": _by_schema, "regex": _by_regex, "choice": _one_of,
}  # fmt: skip


def called_forms(declared: Mapping[str, DeclaredTool], tool_choice: Any) -> tuple[Form, ...]:
    """The forms of the calls that a tool choice asks for, of any declared tool or of the named one; none if it is free.

    Raises Glm4Error for a choice that is none, a tool that is not declared, or a schema that can't be guided.
    """
    if tool_choice in ("auto", "none", None):
        return ()
    chosen = list(declared) if tool_choice in ("required", "any") else [_named(tool_choice)]
    if not declared or any(name not in declared for name in chosen):
        missing = "a tool" if not declared else chosen[0]
        raise Glm4Error(f"tool_choice asks for {missing}, which is not declared", "Declare it in tools.")
    return tuple(_called_form(declared[name]) for name in chosen)


def strict_forms(declared: Mapping[str, DeclaredTool], strict: Collection[str]) -> tuple[Form, ...]:
    """The forms of the functions whose calls must satisfy their schema, though none has to be called.

    Raises Glm4Error for a schema that can't be guided.
    """
    return tuple(_called_form(tool) for name, tool in declared.items() if name in strict and not tool.built_in)


def _named(tool_choice: Any) -> str:
    given = tool_choice if isinstance(tool_choice, Mapping) else {}
    function = given.get("function", given if "type" in given else None)
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str):
        raise Glm4Error(
            f"tool_choice is {tool_choice!r}",
            'Use "auto", "none", "required" or {"type": "function", "function": {"name": …}}.',
        )
    return name


def _called_form(tool: DeclaredTool) -> Form:
    if "\0" in tool.name:  # where the engine would end the name
        raise Glm4Error(f"tools has {tool.name!r}, a name with the character NUL in it", "Leave it out.")
    if tool.built_in:
        return Form(f"{tool.name}\n", "text")
    return Form(
        f"{tool.name}\n", "grammar", json_grammar(_as_object(tool.parameters), f"the parameters of {tool.name}")
    )


def _as_object(schema: Any) -> Any:
    """Arguments are an object, whether or not their schema says so."""
    return {"type": "object", **schema} if isinstance(schema, Mapping) and "type" not in schema else schema
