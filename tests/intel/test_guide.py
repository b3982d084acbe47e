"""Guided replies hold to their schema, whatever the weights; what can't be guided is told before anything begins."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from forms_of_json import satisfies

from conftest import WEATHER, ask
from glm4_intel import Glm4Error, Reply, Runtime, load
from glm4_intel.backends.base import Request
from glm4_intel.chat.conversation import Conversation
from glm4_intel.chat.guide import Form, Guide
from glm4_intel.chat.json_grammar import json_grammar
from glm4_intel.chat.reply import ToolCall

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
    "at least": {"type": "integer", "minimum": 5},
    "far bounds": {"type": "integer", "minimum": -(2**53) + 1, "maximum": 2**53 - 1},
    "port": {"type": "integer", "minimum": 1, "maximum": 65535},
    "at most": {"type": "number", "maximum": 5},
    "share": {"type": "number", "minimum": 0, "maximum": 1},
    "price": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.3},
    "accents": {"enum": ["Fran\xe7ais", "\xff0", "a\x7fb", "10\xa0EUR"]},
    "enum of a type": {"type": "integer", "enum": ["x", 1]},
    "required alone": {
        "type": "object",
        "properties": {"a": {"type": "boolean"}, "b": {"const": 1}},
        "required": ["b"],
    },
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
        ({"type": "string", "pattern": "(?=a)b"}, "S.pattern '.*' can't be guided"),
        ({"type": "object", "properties": {"a": {"not": {}}}, "required": ["a"]}, "S is .* can satisfy"),
        ({"not": {"pattern": "a"}}, "S.not can't be guided"),
        ({"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}}, "S.properties.a.[$]ref is '#/nowhere'"),
        ({"type": "array", "items": {"type": "array", "uniqueItems": True}}, "S.items.uniqueItems can't be guided"),
        ({"type": "number", "multipleOf": 0.01}, "S.multipleOf can't be guided"),
        ({"type": "array", "$dynamicRef": "#a"}, "S.[$]dynamicRef can't be guided"),
        ({"type": "string", "format": "regex"}, "S.format 'regex' can't be guided"),
        ({"type": "object", "minProperties": 2}, "S.minProperties can't be guided"),
        ({"oneOf": [{"type": "string"}, {"type": "string"}]}, "S is .* can satisfy"),
        ({"type": "integer", "enum": ["x"]}, "S is .* can satisfy"),
        ({"const": "a", "enum": ["b"]}, "S is .* can satisfy"),
        ({"type": "integer", "minimum": 0.5, "maximum": 0.7}, "S is .* can satisfy"),
        ({"$ref": "#"}, "S is .* can satisfy"),
        ({"type": "integer", "minimum": None}, "S.minimum is None, not a number"),
        ({"enum": ["\ud800"]}, "half a surrogate pair"),
        ({"enum": [float("nan")]}, "can't be written"),
        ({"type": "string", "pattern": "^(a|b)*a(a|b){40}$"}, "too large to guide by"),
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
        Conversation.parse(ask("x"), response_format=response_format)


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
        Conversation.parse(ask("x"), tools, choice)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "string", "pattern": "^\\d{5}$"}, r'"[0-9]{5}"'),
        ({"type": "string", "pattern": "^[a-c]", "maxLength": 3}, r'"[a-c].*"'),
        ({"type": "string", "format": "date"}, r'"[0-9]{4}-[0-9]{2}-[0-9]{2}"'),
        ({"type": "string", "format": "uuid"}, r'"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"'),
        ({"type": "string", "format": "date-time"}, r'"[0-9]{4}(-[0-9]{2}){2}T[0-9:.]{8,15}(Z|[+-][0-9:]{5})"'),
        ({"type": "string", "minLength": 2, "maxLength": 3}, r'"([^"\\]|\\.){2,3}"'),
        ({"type": "array", "prefixItems": [{"type": "null"}, {"const": 1}], "items": False, "minItems": 1},
         r"\[null(, 1)?\]"),
        ({"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True}, r'\[("a"|"b"|"a", "b")?\]'),
        ({"type": "integer", "multipleOf": 5, "minimum": 0, "maximum": 20}, "0|5|10|15|20"),
        ({"oneOf": [{"const": 1}, {"const": 2}]}, "1|2"),
        ({"allOf": [{"type": "string", "maxLength": 2}, {"minLength": 2}]}, r'"([^"\\]|\\.){2}"'),
        ({"anyOf": [{"required": ["a"]}], "type": "object", "properties": {"a": {"const": 1}}}, r'\{"a": 1\}'),
        ({"propertyNames": {"enum": ["a"]}, "type": "object", "additionalProperties": {"const": 1}}, r'\{("a": 1)?\}'),
        ({"type": "object", "patternProperties": {"^a$": {"const": 1}}, "additionalProperties": False,
          "maxProperties": 1}, r'\{("a": 1)?\}'),
        ({"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}, "minProperties": 2},
         r'\{"a": 1, "b": 2\}'),
        ({"type": "object", "properties": {"k": {"enum": [1, 2]}, "v": {"const": 3}}, "required": ["k"],
          "if": {"properties": {"k": {"const": 1}}}, "then": {"required": ["v"]}, "else": {"properties": {"v": False}}},
         r'\{"k": 1, "v": 3\}|\{"k": 2\}'),
        ({"not": {"type": ["object", "array", "string", "number", "boolean"]}}, "null"),
        ({"$ref": "#/$defs/digit", "enum": [3, 30], "$defs": {"digit": {"maximum": 9}}}, "3"),
        ({"type": "boolean", "x-order": 1, "$anchor": "a"}, "true|false"),
        ({"const": "<|user|>"}, r'"<\\u007cuser\|>"'),
    ],
)  # fmt: skip
def test_what_is_held(glm: Runtime, chaotic: dict[str, Any], schema: Any, text: str) -> None:
    shape = {"type": "json_schema", "json_schema": {"schema": schema}}
    for seed in range(4):
        reply = glm.generate(ask("Hello"), response_format=shape, seed=seed, **chaotic)
        assert re.fullmatch(text, reply.text, re.DOTALL), reply.text
        json.loads(reply.text)


@pytest.mark.parametrize("choice", ["\nyes", "\n\ntwo\n", "\u00e9cole", "get_weather\n{}"])
def test_a_choice_comes_back_to_the_letter(glm: Runtime, chaotic: dict[str, Any], choice: str) -> None:
    reply = glm.generate(ask("Hello"), response_format={"type": "choice", "choice": [choice]}, seed=1, **chaotic)
    assert reply.text == choice and not reply.tool_calls


def test_a_string_never_holds_a_special_token(glm: Runtime, chaotic: dict[str, Any]) -> None:
    say = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    tool = {"type": "function", "function": {"name": "say", "parameters": say}}
    for seed in range(12):
        options = chaotic | {"max_new_tokens": 200, "seed": seed}
        reply = glm.generate(ask("Hello"), tools=[tool], tool_choice="required", **options)
        assert reply.tool_calls or reply.finish_reason == "length"


@pytest.mark.parametrize("pattern", ["a\0b", r"a\x00b", r"a\u0000"])
def test_nul_in_a_regular_expression_is_refused(pattern: str) -> None:
    with pytest.raises(Glm4Error, match="NUL"):
        Conversation.parse(ask("x"), response_format={"type": "regex", "regex": pattern})


def test_a_malformed_regular_expression_is_one_line(glm: Runtime) -> None:
    with pytest.raises(Glm4Error, match="response_format.regex .* is no regular expression: .*unterminated"):
        glm.generate(ask("x"), response_format={"type": "regex", "regex": "("})
    guide = Guide((Form("\n", "grammar", "root ::= ("),))
    asked = Request(ids=glm.tokenizer.encode(ask("x")), params=glm.defaults, guide=guide)
    with pytest.raises(Glm4Error, match="The engine can't guide this reply: .*"):
        list(glm.backend.stream(asked, bool))
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


def test_a_function_named_like_a_built_in_tool_takes_json(glm: Runtime) -> None:
    count = {"type": "integer", "minimum": 0, "maximum": 9}
    parameters = {"type": "object", "properties": {"n": count}, "required": ["n"]}
    tool = {"type": "function", "function": {"name": "python", "parameters": parameters}}
    (call,) = glm.generate(ask("x"), [tool], tool_choice="required", temperature=0, max_new_tokens=40).tool_calls
    assert (call.name, type(call.arguments)) == ("python", dict)
    assert satisfies(call.arguments, parameters, parameters)


def test_sets_without_listed_items_are_refused() -> None:
    schema = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
    with pytest.raises(Glm4Error, match="uniqueItems"):
        json_grammar(schema, "schema")


def test_a_strict_function_may_be_called_and_is_held_to_its_schema(glm: Runtime) -> None:
    city = {"type": "string", "enum": ["Rome"]}
    schema = {"type": "object", "properties": {"city": city}, "required": ["city"]}
    tool = {"type": "function", "function": {**WEATHER["function"], "parameters": schema}}

    def answer(text: str, **sampling: Any) -> Reply:
        conversation = Conversation.parse(ask(text), [tool], strict=["get_weather"])
        return Reply.join(glm.answer(conversation, **sampling))

    assert "42" in answer("What is 17 + 25?", temperature=0).text
    for seed in range(6):
        reply = answer("How is the weather in Oslo?", temperature=1.5 * bool(seed), seed=seed, max_new_tokens=60)
        assert all(call.arguments == {"city": "Rome"} for call in reply.tool_calls)
        assert seed or reply.tool_calls
