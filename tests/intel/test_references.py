"""References inside of a document are held to, by pointer, address and name; what drafts read differently is not."""

import re
from typing import Any

import pytest

from conftest import ask
from glm4_intel import Glm4Error, Runtime
from glm4_intel.chat.json_grammar import json_grammar

NEW = "https://json-schema.org/draft/2020-12/schema"
ONE, TWO, YES = {"const": 1}, {"const": 2}, {"const": True}
TREE = {
    "$id": "https://example.org/tree", "$dynamicAnchor": "node", "type": "object", "required": ["v"],
    "properties": {"v": ONE, "next": {"$dynamicRef": "#node"}}, "additionalProperties": False,
}  # fmt: skip
HELD: list[tuple[str, Any, str]] = [
    ("an anchor", {"$ref": "#a", "$defs": {"x": {"$anchor": "a", **ONE}}}, "1"),
    ("an address", {"$ref": "b.json", "$defs": {"x": {"$id": "b.json", **ONE}}}, "1"),
    ("the root's own", {"$id": "http://e.org/r", "$ref": "http://e.org/r#/$defs/x", "$defs": {"x": ONE}}, "1"),
    ("an address and a pointer", {"$ref": "b#/$defs/y", "$defs": {"x": {"$id": "b", "$defs": {"y": ONE}}, "y": TWO}},
     "1"),
    ("a pointer below an address",
     {"$ref": "#/$defs/x", "$defs": {"x": {"$id": "http://o/b", "$ref": "#/$defs/y", "$defs": {"y": ONE}}, "y": TWO},
      "$schema": NEW}, "1"),
    ("an address and a name",
     {"$id": "http://e.org/r", "allOf": [{"$ref": "b#n"}],
      "$defs": {"x": {"$id": "b", "$defs": {"y": {"$anchor": "n", **ONE}}}, "z": {"$anchor": "n", **TWO}}}, "1"),
    ("a folder", {"$id": "http://e.org/a/", "$ref": "/b/c", "$defs": {"x": {"$id": "/b/c", **ONE}}}, "1"),
    ("a urn", {"$id": "urn:uuid:deadbeef-1234-ffff-ffff-4321feebdaed", "$ref": "#/$defs/x", "$defs": {"x": ONE}}, "1"),
    ("draft 7's name", {"$ref": "#a", "definitions": {"x": {"$id": "#a", **ONE}}}, "1"),
    ("an address in an enum", {"$ref": "#/$defs/x", "$defs": {"y": {"enum": [{"$id": "#/$defs/x"}]}, "x": ONE}}, "1"),
    ("a member that is called $ref", {"properties": {"$ref": ONE}, "required": ["$ref"], "type": "object"},
     r'\{"\$ref": 1\}'),
    ("draft 7 does not look at an address beside a reference",
     {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"x": ONE, "y": {"$id": "http://o/", **TWO}},
      "allOf": [{"$id": "http://o/", "$ref": "#/definitions/x"}]}, "1"),
    ("a dynamic reference", TREE, r'(\{"v": 1(, "next": )?)+\}+'),
    ("a dynamic reference beside a plain one",
     {"$ref": "#/$defs/y", "$dynamicRef": "#a", "$defs": {"x": {"$dynamicAnchor": "a", **ONE}, "y": {"enum": [1, 2]}}},
     "1"),
    ("a step with a slash and a tilde", {"$ref": "#/$defs/a~1b~0c%25", "$defs": {"a/b~c%": ONE}}, "1"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "text"), [each[1:] for each in HELD], ids=[each[0] for each in HELD])
def test_references_are_held(glm: Runtime, schema: Any, text: str) -> None:
    shape = {"type": "json_schema", "json_schema": {"schema": schema}}
    for seed in range(2):
        options = {"seed": seed, "temperature": 50.0, "top_p": 1.0, "max_new_tokens": 60}
        reply = glm.generate(ask("Hello"), response_format=shape, **options)
        assert reply.finish_reason == "length" or re.fullmatch(text, reply.text), reply.text


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://json-schema.org/draft-07/schema#"},
        {"$ref": "other.json"},
        {"$ref": "#b", "$defs": {"x": {"$anchor": "a"}}},
        {"$ref": "#a", "$defs": {"x": {"$anchor": "a", **ONE}, "y": {"$anchor": "a", **TWO}}},
        {"$ref": "#/x/y", "x": {"y": {"$id": "http://o/", "$ref": "#/z"}}, "z": ONE},
        {"allOf": [{"$id": "http://o/", "$ref": "#/$defs/x"}], "$defs": {"x": ONE}},
        {"$ref": "b", "$defs": {"x": {"$id": "b", **ONE}, "y": {"$id": "b", **TWO}}},
        {"properties": {"a": {"id": "x/", "$ref": "#/$defs/b"}}, "$defs": {"b": ONE}},
        {"$ref": 3}, {"$ref": ["#"]}, {"$ref": "#/$defs/x", "$defs": 3}, {"$dynamicRef": "#a"}, {"$dynamicRef": 3},
        {"$ref": "http://[::1"}, {"$id": "http://[", "$ref": "#/$defs/x", "$defs": {"x": {"$id": "a", **ONE}}},
        {"$dynamicRef": "#a", "$defs": {"x": {"$dynamicAnchor": "a", **ONE},
                                        "y": {"$id": "b", "$dynamicAnchor": "a", **TWO}}},
        {"$recursiveRef": "#", "$recursiveAnchor": True},
        {"$ref": "#/$defs/\ud800x", "$defs": {"\ud800": ONE, "x": {"$ref": "#/$defs/%ff"}}},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_not_in_the_document_or_ambiguous_is_refused(schema: Any) -> None:
    with pytest.raises(Glm4Error):
        json_grammar(schema, "S")
