"""A JSON schema as an EBNF grammar of the JSON that GLM-4 writes, for the engine's grammar-guided decoding.

The engine has a converter of its own, which lets any white space through, and a model that has never seen the schema's
keys then writes spaces to the end. This one lets through `{"a": 1, "b": [2, 3]}` alone, properties in their order, and
refuses every keyword that it can't hold the reply to (https://json-schema.org/draft/2020-12/json-schema-validation).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .errors import Glm4Error

_ANNOTATIONS = frozenset(
    {"title", "description", "default", "examples", "example", "format", "deprecated", "readOnly", "writeOnly",
     "$schema", "$id", "$comment", "$defs", "definitions", "strict", "additionalProperties", "nullable"}
)  # fmt: skip
_KEYWORDS: dict[str, set[str]] = {
    "object": {"properties", "required"},
    "array": {"items", "minItems", "maxItems"},
    "string": {"minLength", "maxLength"},
    "integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
    "number": {"minimum", "exclusiveMinimum"},
    "boolean": set(),
    "null": set(),
}
"""By type, what is understood besides annotations."""
_MOST_NUMBERS = 4096
"""Integers between two bounds that are written out one by one."""

_BASICS = r"""value ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" (pair (", " pair)*)? "}"
pair ::= string ": " value
array ::= "[" (value (", " value)*)? "]"
string ::= "\"" char* "\""
char ::= [^"\\\x00-\x1f\x7f] | "\\" (["\\/bfnrt] | "u00" [01] [0-9a-f])
integer ::= "-"? natural
natural ::= "0" | positive
positive ::= [1-9] [0-9]{0,15}
number ::= "-"? unsigned
unsigned ::= natural ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?
"""


def json_grammar(schema: Any, where: str) -> str:
    """The grammar, with the rule `root`. Raises Glm4Error naming the place in `where` that can't be guided."""
    grammar = _Grammar(schema)
    grammar.rules["root"] = grammar.form(schema, where)
    return "".join(f"{name} ::= {form}\n" for name, form in grammar.rules.items()) + _BASICS


class _Grammar:
    """The rules that a schema needs, each under a name of its own."""

    def __init__(self, schema: Any) -> None:
        self.rules: dict[str, str] = {}
        self._whole = schema
        self._references: dict[str, str] = {}

    def form(self, schema: Any, where: str) -> str:
        """What a schema's values look like."""
        if schema is True or schema == {}:
            return "value"
        if not isinstance(schema, Mapping):
            raise Glm4Error(f"{where} is {schema!r}, which is no JSON schema that a value can satisfy")
        form = self._plain_form(schema, where)
        return f'({form} | "null")' if schema.get("nullable") is True else form

    def _plain_form(self, schema: Mapping[str, Any], where: str) -> str:
        if "$ref" in schema:
            return self._reference(schema["$ref"], where)
        if "const" in schema or "enum" in schema:
            return self._values(schema, where)
        for keyword in ("anyOf", "oneOf", "allOf"):
            if keyword in schema:
                return self._combined(keyword, schema, where)
        kinds = schema.get("type", _implied(schema))
        if isinstance(kinds, list):
            return _either(self._typed(kind, schema, where, strict=False) for kind in kinds)
        if kinds is None:  # annotations alone
            self._understood(schema, set(), where)
            return "value"
        return self._typed(kinds, schema, where)

    def _typed(self, kind: Any, schema: Mapping[str, Any], where: str, strict: bool = True) -> str:
        if kind not in _KEYWORDS:
            raise Glm4Error(f"{where}.type is {kind!r}", f"JSON schema has {', '.join(_KEYWORDS)}.")
        known = _KEYWORDS[kind] if strict else set().union(*_KEYWORDS.values())
        self._understood(schema, known | {"type"}, where)
        writers = {"object": self._object, "array": self._array, "string": _string, "integer": _integer,
                   "number": _number}  # fmt: skip
        if kind in writers:
            return writers[kind](schema, where)
        return '("true" | "false")' if kind == "boolean" else '"null"'

    def _understood(self, schema: Mapping[str, Any], known: Iterable[str], where: str) -> None:
        for keyword in schema:
            if keyword not in _ANNOTATIONS and keyword not in known:
                raise Glm4Error(
                    f"{where}.{keyword} can't be guided", "Leave it out of the schema, and check the reply for it."
                )

    def _object(self, schema: Mapping[str, Any], where: str) -> str:
        properties, required = schema.get("properties") or {}, schema.get("required") or []
        if not isinstance(properties, Mapping) or not isinstance(required, Sequence):
            raise Glm4Error(f"{where} has properties or required that are no object and no list")
        missing = [name for name in required if name not in properties]
        if missing:
            raise Glm4Error(f"{where} requires {missing[0]!r}, which is not among its properties")
        if not properties:
            return self._map(schema.get("additionalProperties", True), where)
        members = [
            f"{_literal(json.dumps(name, ensure_ascii=False) + ': ')} {self.form(each, f'{where}.properties.{name}')}"
            for name, each in properties.items()
        ]
        return self._members(members, [name in required for name in properties])

    def _map(self, values: Any, where: str) -> str:
        if values is True:
            return "object"
        if values is False:
            return '"{}"'
        pair = self._rule(f'string ": " {self.form(values, f"{where}.additionalProperties")}')
        return f'"{{" ({pair} (", " {pair})*)? "}}"'

    def _members(self, members: list[str], required: list[bool]) -> str:
        """Members in their order, those that are not required at will; a comma before all but the first written."""
        rest = '"}"'
        firsts = [] if any(required) else ['"{}"']
        for member, needed in reversed(list(zip(members, required, strict=True))):
            member = self._rule(member)
            if needed:
                firsts = []
            firsts.append(f'"{{" {member} {rest}')
            rest = self._rule(f'", " {member} {rest}' if needed else f'(", " {member})? {rest}')
        return _either(firsts)

    def _array(self, schema: Mapping[str, Any], where: str) -> str:
        item = self._rule(self.form(schema.get("items", True), f"{where}.items"))
        least, most = _count(schema, "minItems", where) or 0, _count(schema, "maxItems", where)
        if most == 0:
            return '"[]"'
        more = f'(", " {item}){{{max(0, least - 1)},{"" if most is None else most - 1}}}'
        written = f'"[" {item} {more} "]"'
        return written if least else f'("[]" | {written})'

    def _values(self, schema: Mapping[str, Any], where: str) -> str:
        self._understood(schema, {"const", "enum", "type"}, where)
        values = [schema["const"]] if "const" in schema else schema["enum"]
        if not isinstance(values, Sequence) or isinstance(values, str) or not values:
            raise Glm4Error(f"{where}.enum must be a list with a value at least")
        return _either(_literal(json.dumps(value, ensure_ascii=False)) for value in values)

    def _combined(self, keyword: str, schema: Mapping[str, Any], where: str) -> str:
        self._understood(schema, {keyword}, where)
        branches = schema[keyword]
        if not isinstance(branches, Sequence) or isinstance(branches, str) or not branches:
            raise Glm4Error(f"{where}.{keyword} must be a list of schemas")
        kinds = [branch.get("type") if isinstance(branch, Mapping) else None for branch in branches]
        told_apart = all(isinstance(kind, str) for kind in kinds) and len(set(kinds)) == len(kinds)
        if len(branches) > 1 and (keyword == "allOf" or (keyword == "oneOf" and not told_apart)):
            raise Glm4Error(f"{where}.{keyword} can't be guided", "Use anyOf, or merge its schemas into one.")
        return _either(self.form(branch, f"{where}.{keyword}[{index}]") for index, branch in enumerate(branches))

    def _reference(self, reference: Any, where: str) -> str:
        if reference not in self._references:
            target = self._whole
            for step in str(reference).removeprefix("#").strip("/").split("/") if reference != "#" else ():
                step = step.replace("~1", "/").replace("~0", "~")
                target = target.get(step) if isinstance(target, Mapping) else None
            if target is None or not str(reference).startswith("#"):
                raise Glm4Error(f"{where}.$ref is {reference!r}, which is not in the schema")
            name = self._references[reference] = f"ref{len(self._references)}"
            self.rules[name] = self.form(target, str(reference))
        return self._references[reference]

    def _rule(self, form: str) -> str:
        """A rule for a form, so that a grammar grows with its schema and no faster."""
        name = f"rule{len(self.rules)}"
        self.rules[name] = form
        return name


def _implied(schema: Mapping[str, Any]) -> str | None:
    """The type of a schema that does not state it: that of its keywords."""
    return next((kind for kind, known in _KEYWORDS.items() if known & set(schema)), None)


def _string(schema: Mapping[str, Any], where: str) -> str:
    least, most = _count(schema, "minLength", where) or 0, _count(schema, "maxLength", where)
    if not least and most is None:
        return "string"
    return f'"\\"" char{{{least},{"" if most is None else most}}} "\\""'


def _integer(schema: Mapping[str, Any], where: str) -> str:
    least, most = _bound(schema, "minimum", "exclusiveMinimum", 1), _bound(schema, "maximum", "exclusiveMaximum", -1)
    if most is None and least in (None, 0, 1):
        return {None: "integer", 0: "natural", 1: "positive"}[least]
    if least is None or most is None or not 0 <= most - least < _MOST_NUMBERS:
        raise Glm4Error(
            f"{where} has bounds that can't be guided", f"Give a minimum and a maximum less than {_MOST_NUMBERS} apart."
        )
    return _either(_literal(str(number)) for number in range(least, most + 1))


def _number(schema: Mapping[str, Any], where: str) -> str:
    bounds = {key: schema[key] for key in ("minimum", "exclusiveMinimum") if key in schema}
    if not bounds:
        return "number"
    if bounds == {"minimum": 0}:
        return "unsigned"
    raise Glm4Error(f"{where} has bounds that can't be guided", "Of a number, only a minimum of 0 can.")


def _bound(schema: Mapping[str, Any], inclusive: str, exclusive: str, step: int) -> int | None:
    if inclusive in schema:
        return int(schema[inclusive])
    return int(schema[exclusive]) + step if exclusive in schema else None


def _count(schema: Mapping[str, Any], keyword: str, where: str) -> int | None:
    count = schema.get(keyword)
    if count is not None and (not isinstance(count, int) or count < 0):
        raise Glm4Error(f"{where}.{keyword} is {count!r}, not a count")
    return count


def _either(forms: Iterable[str]) -> str:
    alternatives = list(forms)
    return alternatives[0] if len(alternatives) == 1 else f"({' | '.join(alternatives)})"


def _literal(text: str) -> str:
    """The text as an EBNF literal."""
    return json.dumps(text, ensure_ascii=False)
