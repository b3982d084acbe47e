"""`unevaluatedProperties` and `unevaluatedItems`: what no schema in the same place has a word about."""

import json
import re
from typing import Any

import pytest

from conftest import ask
from glm4_intel import Glm4Error, Runtime
from glm4_intel.chat.json_grammar import json_grammar

A, B = {"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "its own members": ({**A, "unevaluatedProperties": False}, r'\{("a": 1)?\}'),
    "those of its parts": (
        {**B, "allOf": [A], "required": ["a", "b"], "unevaluatedProperties": False},
        r'\{"b": 2, "a": 1\}',
    ),
    "not those beside its parent": ({**A, "allOf": [{"unevaluatedProperties": False}]}, r"\{\}"),
    "those of a reference": (
        {"$defs": {"x": A}, "$ref": "#/$defs/x", "unevaluatedProperties": False},
        r'\{("a": 1)?\}',
    ),
    "those of an if that holds": (
        {"required": ["a"], "if": A, "then": B, "unevaluatedProperties": False},
        r'\{"a": 1(, "b": 2)?\}',
    ),
    "those that depend on a member, beside it": (
        {**A, "dependentSchemas": {"a": B}, "unevaluatedProperties": False},
        r'\{("a": 1(, "b": 2)?)?\}',
    ),
    "all, where others are allowed": (
        {**A, "additionalProperties": {"const": 5}, "unevaluatedProperties": False, "maxProperties": 1},
        r'\{("a": 1|"[^"]*": 5)?\}',
    ),
    "what the others must be": (
        {**A, "unevaluatedProperties": {"const": 5}, "required": ["a", "c"]},
        r'\{"a": 1, "c": 5\}',
    ),
    "its own items": ({"type": "array", "prefixItems": [{"const": 1}], "unevaluatedItems": False}, r"\[1?\]"),
    "items of its parts": (
        {"type": "array", "prefixItems": [{"const": 1}], "anyOf": [{"prefixItems": [True, {"const": 2}]}],
         "minItems": 2, "maxItems": 3, "unevaluatedItems": {"const": 3}},
        r"\[1, 2(, 3)?\]",
    ),
    "no items at all": ({"type": "array", "unevaluatedItems": False}, r"\[\]"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_evaluated(glm: Runtime, name: str) -> None:
    schema, text = CASES[name]
    shape = {"type": "json_schema", "json_schema": {"schema": {"type": "object", **schema}}}
    for seed in range(8):
        reply = glm.generate(ask("Hello"), response_format=shape, seed=seed, temperature=50.0, top_p=1.0)
        assert reply.finish_reason == "length" or re.fullmatch(text, reply.text), reply.text
        if reply.finish_reason == "stop":
            json.loads(reply.text)


def test_what_stands_under_not_evaluates_nothing() -> None:
    schema = {"type": "object", "not": {"not": {**A, "required": ["a"]}}, "unevaluatedProperties": False}
    with pytest.raises(Glm4Error, match="can satisfy"):
        json_grammar(schema, "S")


def test_what_is_no_schema_is_refused() -> None:
    with pytest.raises(Glm4Error, match="S.unevaluatedProperties is 3, which is not"):
        json_grammar({"type": "object", "unevaluatedProperties": 3}, "S")
