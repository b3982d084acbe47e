"""Python callables as tools: declared from their signature and docstring, called with arguments that fit it."""

import inspect
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_type_hints

from ..chat.tools import BUILT_IN_TOOLS
from ..errors import Glm4Error

_ARGUMENT = re.compile(r"^[ \t]*\**(\w+)[ \t]*(?:\([^)]*\))?:[ \t]+(\S.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Tool:
    """A callable that the model may call by `name`, with arguments that satisfy the schema `parameters`."""

    name: str
    description: str
    parameters: dict[str, Any]
    function: Callable[..., Any]
    model: Any = None
    """The pydantic model that checks the arguments; without one, the function is given them as they come."""

    @property
    def built_in(self) -> bool:
        """Whether GLM-4 knows the tool by name and writes it text rather than JSON."""
        return self.name in BUILT_IN_TOOLS

    def declaration(self) -> dict[str, Any]:
        """The tool as `tools=` takes it."""
        if self.built_in:
            return {"type": self.name}
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}

    def call(self, arguments: dict[str, Any] | str) -> str:
        """The observation: the function's result as text. Raises ValueError for arguments that do not fit."""
        if isinstance(arguments, str):
            return _text(self.function(arguments))
        if self.model is None:
            return _text(self.function(**arguments))
        from pydantic import ValidationError

        try:
            checked = self.model.model_validate(arguments)
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
            raise ValueError("; ".join(faults)) from error
        return _text(self.function(**{name: getattr(checked, name) for name in type(checked).model_fields}))


def tool(function: Callable[..., Any]) -> Tool:
    """A function as a tool. Its docstring's first lines describe it, its "name: text" lines the arguments.

    Raises Glm4Error for a function whose arguments have no type, or can't be given by name.
    """
    from pydantic import ConfigDict, Field, PydanticUserError, create_model

    name = getattr(function, "__name__", type(function).__name__)
    about, arguments = _docstring(inspect.getdoc(function) or "")
    if name in BUILT_IN_TOOLS:
        return Tool(name, about, {}, function)
    hints, fields = get_type_hints(function, include_extras=True), {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise Glm4Error(f"{name} has the argument {parameter}, which can't be given by name")
        if parameter.name not in hints:
            raise Glm4Error(f"The argument {parameter.name} of {name} has no type", "Annotate it, such as city: str.")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], Field(default, description=arguments.get(parameter.name)))
    try:
        model = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)  # type: ignore[call-overload]
        schema = model.model_json_schema()
    except PydanticUserError as error:
        raise Glm4Error(f"The arguments of {name} have a type that has no JSON schema: {error.message}") from error
    return Tool(name, about, _plain(schema), function, model)


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """What the function does, up to the first blank line, and what its arguments are."""
    about = re.split(r"\n\s*\n", text.strip(), maxsplit=1)[0]
    return " ".join(about.split()), {match[1]: match[2].strip() for match in _ARGUMENT.finditer(text)}


def _plain(schema: Any) -> Any:
    """The schema without the titles that pydantic makes up and what says nothing, as GLM-4 was trained to read it."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    dropped = {"title", "additionalProperties"} if "properties" in schema or "type" in schema else {"title"}
    kept = {key: each for key, each in schema.items() if key not in dropped or not isinstance(each, (str, bool))}
    return {key: _plain(each) for key, each in kept.items()}


def _text(result: Any) -> str:
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=str)
