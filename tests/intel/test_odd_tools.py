"""Callables, results and docstrings as people bring them: each is a tool, or is said to be none in a line."""

import asyncio
import warnings
from collections.abc import Callable, Generator
from typing import Any

import pytest

from conftest import ask
from glm4_intel import Glm4Error, Runtime, agent
from glm4_intel.agent.callables import tool
from glm4_intel.agent.docstrings import read_docstring


def returning(result: Any) -> Callable[[], Any]:
    def f() -> Any:
        return result

    return f


def circle() -> list[Any]:
    held: list[Any] = []
    held.append(held)
    return held


class Promise:
    def __await__(self) -> Generator[Any, None, int]:
        yield from asyncio.sleep(0).__await__()
        return 5


@pytest.mark.parametrize(
    ("result", "text"),
    [(b"\xff\x00", "b'\\xff\\x00'"), (circle(), "[[[[[[[...]]]]]]]"), (Promise(), "5"), ({1: {2}}, '{"1": [2]}')],
)
def test_results_that_json_has_not(result: Any, text: str) -> None:
    assert tool(returning(result)).call({}) == text


def test_an_asynchronous_tool_runs_where_a_loop_runs_already() -> None:
    async def double(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    async def notebook() -> str:
        return tool(double).call({"x": 4})

    assert asyncio.run(notebook()) == "8"


class Method:
    def method(self, x: int) -> int:
        return x


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (max, "max does not say what its arguments are"), (int, "int does not say what its arguments are"),
        (None, "None is no function"), (5, "5 is no function"), (asyncio, "<module 'asyn.* is no function"),
        (lambda x: 1, "argument x of <lambda> has no type"), (Method.method, "argument self of method has no type"),
        (len, "can't be given by name"),
    ],
)  # fmt: skip
def test_what_is_no_tool(function: Any, said: str) -> None:
    with pytest.raises(Glm4Error, match=said):
        tool(function)


@pytest.mark.parametrize("annotation", ["a b", "asyncio.nothing", "1/0", "Nothing", "[", "asyncio.Nothing[int]"])
def test_annotations_that_can_not_be_read(annotation: str) -> None:
    def f(x: int) -> None: ...

    f.__annotations__["x"] = annotation
    with pytest.raises(Glm4Error, match="is not known where its function is"):
        tool(f)


def test_a_default_that_json_has_not_is_left_out_without_a_word() -> None:
    missing = object()

    def f(x: int = missing) -> bool:  # type: ignore[assignment]
        return x is missing  # type: ignore[comparison-overlap]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = tool(f)
    assert made.parameters == {"properties": {"x": {"type": "integer"}}, "type": "object"} and made.call({}) == "true"


@pytest.mark.parametrize(
    ("text", "about", "told"),
    [
        ("Do it.\n\nArgs:\n    x (Dict[str, (int)]): One\n        and two.\n    y: Why: so.\n\nReturns:\n    int: no",
         "Do it.", {"x": "One and two.", "y": "Why: so."}),
        (":param x: only that\n   goes on\n:type x: int\n:returns: y", "", {"x": "only that goes on"}),
        ("Do it.\n@param x: in Epytext\n@return: y", "Do it.", {"x": "in Epytext"}),
        ("Do it.\n:param int x: a\n:param y: b", "Do it.", {"x": "a", "y": "b"}),
        ("", "", {}),
    ],
)  # fmt: skip
def test_docstrings_go_on_over_lines(text: str, about: str, told: dict[str, str]) -> None:
    assert read_docstring(text)[0] == about and told.items() <= read_docstring(text)[1].items()
    assert (set(read_docstring(text)[1]) & {"x", "y"}) == set(told)


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt(), Mute(), GeneratorExit()])
def test_whatever_a_tool_raises_is_told_at_once(glm: Runtime, raised: BaseException) -> None:
    def get_weather(city: str) -> str:
        "Get the current weather"
        raise raised

    events = agent.run(glm, ask("What is the weather in Oslo?"), [get_weather], temperature=0, max_rounds=1)
    (observed,) = [each for each in events if isinstance(each, agent.Observed)]
    assert observed.failed and type(raised).__name__ in observed.content and observed.seconds < 20


def test_two_tools_of_one_name_are_refused(glm: Runtime) -> None:
    with pytest.raises(Glm4Error, match="Two tools are called f"):
        next(agent.run(glm, ask("Hi"), [returning(1), returning(2)]))
