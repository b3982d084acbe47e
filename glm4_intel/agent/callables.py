"""Python callables as tools: declared from their signature and docstring, called with arguments that fit it."""

import asyncio
import functools
import inspect
import json
import typing
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from reprlib import repr as shown
from typing import Any

from ..chat.tools import BUILT_IN_TOOLS
from ..errors import Glm4Error
from .docstrings import read_docstring

_UNTOLD = ("title", "additionalProperties")
"""What pydantic adds to a schema and says nothing."""


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
        """The observation: the function's result as text. Raises ValueError for arguments that do not fit.

        A coroutine is run to its end, and what a generator yields is a list.
        """
        if isinstance(arguments, str):
            return _text(_finished(self.function(arguments)))
        given = arguments if self.model is None else _checked(self.model, arguments)
        return _text(_finished(self.function(**given)))


def _checked(model: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    from pydantic import ValidationError

    try:
        checked = model.model_validate(arguments)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise ValueError("; ".join(faults)) from error
    return {str(field.alias): getattr(checked, name) for name, field in type(checked).model_fields.items()}


def tool(function: Callable[..., Any]) -> Tool:
    """A function, a partial of one or a callable object as a tool, asynchronous or not.

    Its docstring's first lines describe it, and its arguments where it tells of them. Raises Glm4Error for a function
    whose arguments have no type, or can't be given by name.
    """
    from pydantic import ConfigDict, PydanticUserError, create_model

    if not callable(function):
        raise Glm4Error(f"{shown(function)} is no function", "Give a function, a partial or a callable object.")
    name, about, told = _described(function)
    if name in BUILT_IN_TOOLS:
        return Tool(name, about, {}, function)
    fields = dict(_fields(function, name, told))
    try:
        model = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
        schema = model.model_json_schema(schema_generator=_quiet())
    except (PydanticUserError, TypeError, ValueError, NameError) as error:
        reason = getattr(error, "message", str(error))
        raise Glm4Error(f"The arguments of {name} have a type that has no JSON schema: {reason}") from error
    return Tool(name, about, _plain(schema), function, model)


def _quiet() -> Any:
    """pydantic's generator of schemas, which leaves out a default that JSON has not without a word on the console."""
    from pydantic.json_schema import GenerateJsonSchema

    return type(
        "Quiet", (GenerateJsonSchema,), {"ignored_warning_kinds": {"skipped-choice", "non-serializable-default"}}
    )


def _described(function: Callable[..., Any]) -> tuple[str, str, dict[str, str]]:
    """Name, description, and what is said of the arguments."""
    plain = function
    while isinstance(plain, functools.partial):
        plain = plain.func
    name = getattr(plain, "__name__", type(plain).__name__)
    documented = (
        plain if hasattr(plain, "__name__") else (inspect.getdoc(type(plain).__call__) and type(plain).__call__)
    )
    return name, *read_docstring(inspect.getdoc(documented or plain) or "")


def _fields(function: Callable[..., Any], name: str, told: dict[str, str]) -> Iterator[tuple[str, Any]]:
    """The arguments as pydantic's fields, each under its own name as alias: some names mean something to pydantic."""
    from pydantic import Field

    bound = function.keywords if isinstance(function, functools.partial) else {}
    for index, parameter in enumerate(_parameters(function, name)):
        if parameter.name in bound:
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise Glm4Error(f"{name} has the argument {parameter}, which can't be given by name")
        if parameter.annotation is parameter.empty:
            raise Glm4Error(f"The argument {parameter.name} of {name} has no type", "Annotate it, such as city: str.")
        default = ... if parameter.default is parameter.empty else parameter.default
        given: dict[str, Any] = {"alias": parameter.name}
        if parameter.name in told:
            given["description"] = told[parameter.name]
        yield f"argument_{index}", (_type(function, parameter.annotation), Field(default, **given))


def _parameters(function: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:  # some of Python's own functions tell nothing of their arguments
        raise Glm4Error(f"{name} does not say what its arguments are", "Wrap it into a function that does.") from error


def _type(function: Callable[..., Any], annotation: Any) -> Any:
    """An argument's type; as text, it is looked up where the function was written."""
    if not isinstance(annotation, str):
        return annotation
    plain = inspect.unwrap(function)
    plain = plain.func if isinstance(plain, functools.partial) else plain
    scope = getattr(plain, "__globals__", None) or getattr(type(plain).__call__, "__globals__", {})
    try:
        return typing.get_type_hints(type("", (), {"__annotations__": {"it": annotation}}), scope, include_extras=True)[
            "it"
        ]
    except Exception as error:  # it is anybody's code that is run there
        raise Glm4Error(f"The type {annotation} is not known where its function is", "Import it there.") from error


def _plain(schema: Any) -> Any:
    """The schema without the titles that pydantic makes up and what says nothing, as GLM-4 was trained to read it."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    dropped = _UNTOLD if "properties" in schema or "type" in schema else _UNTOLD[:1]
    kept = {key: each for key, each in schema.items() if key not in dropped or not isinstance(each, (str, bool))}
    return {key: each if key in ("default", "enum", "const") else _plain(each) for key, each in kept.items()}


def _finished(result: Any) -> Any:
    """What a coroutine, another awaitable or a generator comes to."""
    if inspect.isawaitable(result):
        return _run(_awaited(result))
    if inspect.isasyncgen(result):
        return _run(_collected(result))
    return list(result) if inspect.isgenerator(result) else result


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end, in a thread of its own where this one runs a loop already, as a notebook's does."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result


async def _collected(items: Any) -> list[Any]:
    return [item async for item in items]


def _text(result: Any) -> str:
    """JSON of what pydantic knows to write (models, dataclasses, dates, …), and of the rest as the text it shows."""
    from pydantic_core import to_jsonable_python

    if isinstance(result, str):
        return result
    try:
        return json.dumps(to_jsonable_python(result, fallback=str), ensure_ascii=False)
    except ValueError:  # circles, bytes that are no text, numbers of thousands of digits
        return shown(result)
