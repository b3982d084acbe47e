"""Guided replies hold to their schema, whatever the weights; what can't be guided is told before anything begins."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from forms_of_json import satisfies

from conftest import WEATHER, ask
from glm4_intel import Glm4Error, Runtime, load
from glm4_intel.json_grammar import json_grammar
from glm4_intel.structured import response_guide, tool_guide
from glm4_intel.tools import ToolCall

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "kind": {"enum": ["cat", "狗", 3, None]},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 5}, "minItems": 1, "maxItems": 3},
        "home": {
            "type": "object",
            "properties": {"street": {"type": "string", "maxLength": 8}, "open": {"type": "boolean"}},
            "required": ["open"],
        },
    },
    "required": ["name", "kind", "tags"],
}
SCHEMAS: dict[str, Any] = {
    "person": PERSON,
    "all optional": {"type": "object", "properties": {"a": {"type": "boolean"}, "b": {"const": "x"}}},
    "one of types": {"type": ["boolean", "null"]},
    "any of": {"anyOf": [{"type": "boolean"}, {"enum": [1, 2]}]},
    "array": {"type": "array", "items": {"type": "boolean"}, "maxItems": 4},
    "fixed array": {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 2},
    "empty array": {"type": "array", "maxItems": 0},
    "closed": {"type": "object", "properties": {}, "additionalProperties": False},
    "range": {"type": "integer", "minimum": -3, "exclusiveMaximum": 4},
    "positive": {"type": "integer", "exclusiveMinimum": 0},
    "unsigned": {"type": "number", "minimum": 0},
    "nullable": {"type": "boolean", "nullable": True},
    "implied": {"properties": {"a": {"type": "boolean"}}, "required": ["a"]},
    "odd names": {"type": "object", "properties": {'a "b"\\': {"type": "boolean"}}, "required": ['a "b"\\']},
    "reference": {
        "$defs": {"yes": {"type": "boolean"}},
        "type": "array",
        "items": {"$ref": "#/$defs/yes"},
        "maxItems": 2,
    },
}


@pytest.fixture(scope="module")
def chaotic(glm: Runtime) -> dict[str, Any]:
    """Options under which the nano model is as good as random: every token is about as likely as any other."""
    return {"temperature": 50.0, "top_p": 1.0, "max_new_tokens": 1500}


@pytest.mark.parametrize("name", SCHEMAS)
def test_replies_satisfy_their_schema_whatever_the_weights(glm: Runtime, chaotic: dict[str, Any], name: str) -> None:
    shape = {"type": "json_schema", "json_schema": {"schema": SCHEMAS[name]}}
    for seed in range(4):
        reply = glm.generate(ask("Hello"), response_format=shape, seed=seed, **chaotic)
        if reply.finish_reason == "length":  # an unbounded value went on and on
            assert name in ("person",)
            continue
        value = json.loads(reply.text)
        assert satisfies(value, SCHEMAS[name], SCHEMAS[name]), (name, reply.text)
        assert reply.finish_reason == "stop" and not reply.tool_calls


def test_a_named_tool_is_called_whatever_the_weights(glm: Runtime, chaotic: dict[str, Any]) -> None:
    properties = {"unit": {"enum": ["C", "F"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}}
    parameters = {"type": "object", "properties": properties, "required": ["unit", "days"]}
    forecast = {"type": "function", "function": {"name": "forecast", "parameters": parameters}}
    for seed in range(5):
        for choice in ("required", {"type": "function", "function": {"name": "forecast"}}):
            reply = glm.generate(ask("Hello"), tools=[forecast], tool_choice=choice, seed=seed, **chaotic)
            (call,) = reply.tool_calls
            assert call.name == "forecast" and satisfies(call.arguments, parameters, parameters)
            assert reply.text == "" and reply.finish_reason == "tool_calls"


def test_required_calls_one_of_several(glm: Runtime, chaotic: dict[str, Any]) -> None:
    nothing = {"type": "object", "properties": {}, "additionalProperties": False}
    names = ("one", "two", "three")
    tools = [{"type": "function", "function": {"name": name, "parameters": nothing}} for name in names]
    called = set()
    for seed in range(12):
        reply = glm.generate(ask("Hello"), tools=tools, tool_choice="required", seed=seed, **chaotic)
        called |= {call.name for call in reply.tool_calls}
        assert all(call.arguments == {} for call in reply.tool_calls) and len(reply.tool_calls) == 1
    assert called <= {"one", "two", "three"} and len(called) > 1


def test_a_guided_call_is_the_models_own_where_it_would_have_called(glm: Runtime) -> None:
    question = ask("What is the weather in Oslo?")
    free = glm.generate(question, tools=[WEATHER], temperature=0)
    guided = glm.generate(question, tools=[WEATHER], tool_choice="required", temperature=0)
    assert free.tool_calls == guided.tool_calls == (ToolCall("get_weather", {"city": "Oslo"}),)
    assert free.token_ids == guided.token_ids


def test_a_guided_call_streams_its_arguments(glm: Runtime) -> None:
    chunks = list(
        glm.stream(ask("What is the weather in Oslo?"), tools=[WEATHER], tool_choice="required", temperature=0)
    )
    deltas = [delta for chunk in chunks for delta in chunk.tool_call_deltas]
    assert deltas[0].name == "get_weather"
    assert json.loads("".join(delta.arguments for delta in deltas)) == {"city": "Oslo"}


def test_none_calls_nothing(glm: Runtime) -> None:
    reply = glm.generate(ask("What is the weather in Oslo?"), tools=[WEATHER], tool_choice="none", temperature=0)
    assert not reply.tool_calls


@pytest.mark.parametrize(
    ("response_format", "pattern"),
    [
        ({"type": "regex", "regex": r"[0-9]{3}-[a-z]{2}"}, r"[0-9]{3}-[a-z]{2}"),
        ({"type": "choice", "choice": ["yes", "no", "不知道"]}, "yes|no|不知道"),
        ({"type": "text"}, ".*"),
    ],
)
def test_regular_expressions_and_choices(
    glm: Runtime, chaotic: dict[str, Any], response_format: dict[str, Any], pattern: str
) -> None:
    options = chaotic | {"max_new_tokens": 40}
    for seed in range(4):
        reply = glm.generate(ask("Hello"), response_format=response_format, seed=seed, **options)
        assert re.fullmatch(pattern, reply.text, re.DOTALL), reply.text


def test_a_json_object(glm: Runtime, chaotic: dict[str, Any]) -> None:
    for seed in range(3):
        reply = glm.generate(ask("Hello"), response_format={"type": "json_object"}, seed=seed, **chaotic)
        assert reply.finish_reason == "length" or isinstance(json.loads(reply.text), dict)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "nonsense"}, "S.type is 'nonsense'"),
        ({"type": "string", "pattern": "a+"}, "S.pattern can't be guided"),
        ({"type": "object", "properties": {"a": {"not": {}}}}, "S.properties.a.not can't be guided"),
        ({"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}}, "S.properties.a.[$]ref is '#/nowhere'"),
        ({"type": "array", "items": {"type": "array", "uniqueItems": True}}, "S.items.uniqueItems can't be guided"),
        ({"type": "integer", "minimum": 5}, "S has bounds that can't be guided"),
        ({"type": "number", "maximum": 5}, "S.maximum can't be guided"),
        ({"oneOf": [{"type": "string"}, {"type": "string"}]}, "S.oneOf can't be guided"),
        ({"allOf": [{"type": "string"}, {"minLength": 3}]}, "S.allOf can't be guided"),
        ({"type": "object", "required": ["a"]}, "S requires 'a', which is not among its properties"),
        ({"enum": []}, "S.enum must be a list"),
        ({"type": "string", "minLength": "x"}, "S.minLength is 'x', not a count"),
        (False, "S is False"),
        ("object", "S is 'object'"),
    ],
)
def test_what_can_not_be_guided_is_told(schema: Any, said: str) -> None:
    with pytest.raises(Glm4Error, match=said):
        json_grammar(schema, "S")


@pytest.mark.parametrize(
    ("response_format", "said"),
    [
        ({"type": "xml"}, "response_format.type is 'xml'"),
        ({"type": "json_schema"}, "json_schema.schema is missing"),
        ({"type": "regex"}, "regex must be a regular expression"),
        ({"type": "choice", "choice": []}, "choice must be a list of texts"),
        ({"type": "choice", "choice": [3]}, "has 3 in it"),
        ("json", "response_format.type is None"),
    ],
)
def test_a_malformed_response_format(response_format: Any, said: str) -> None:
    with pytest.raises(Glm4Error, match=said):
        response_guide(response_format, None)


@pytest.mark.parametrize(
    ("choice", "tools", "said"),
    [
        ("required", None, "asks for a tool, which is not declared"),
        ({"type": "function", "function": {"name": "other"}}, [WEATHER], "asks for other, which is not declared"),
        ("always", [WEATHER], "tool_choice is 'always'"),
        ({"name": "f"}, [WEATHER], "tool_choice is"),
    ],
)
def test_a_malformed_tool_choice(choice: Any, tools: Any, said: str) -> None:
    with pytest.raises(Glm4Error, match=said):
        tool_guide(ask("x"), tools, choice)


def test_what_the_engine_itself_refuses_is_one_line(glm: Runtime) -> None:
    with pytest.raises(Glm4Error, match="The engine can't guide this reply: .*parenthesis"):
        glm.generate(ask("x"), response_format={"type": "regex", "regex": "("})
    assert glm.generate(ask("What is 17 + 25?"), temperature=0).text == "17 + 25 = 42"


def test_both_at_once_are_refused(glm: Runtime) -> None:
    with pytest.raises(Glm4Error, match="both say what the reply must be"):
        glm.generate(ask("x"), tools=[WEATHER], tool_choice="required", response_format={"type": "json_object"})


def test_optimum_says_that_it_can_not(nano: Path) -> None:
    with pytest.raises(Glm4Error, match="optimum can't guide"):
        load(nano, backend="optimum").generate(ask("x"), response_format={"type": "json_object"})


def test_a_built_in_takes_text(glm: Runtime) -> None:
    reply = glm.generate(
        ask("x"), tools=[{"type": "python"}], tool_choice="required", temperature=0, max_new_tokens=200
    )
    assert [call.name for call in reply.tool_calls] == ["python"] and isinstance(reply.tool_calls[0].arguments, str)
