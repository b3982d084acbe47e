"""Whether a value satisfies a schema, for the values that a schema lists: exact, or refused."""

from collections.abc import Callable, Mapping
from typing import Any

from ...errors import Glm4Error
from .numbers import exact
from .strings import string_automata

TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
Resolve = Callable[[Any, str], Any]
_DEPTH = 60


def type_of(value: Any) -> str:
    """The JSON type of a value: 1.0 is an integer."""
    if isinstance(value, bool) or value is None:
        return "null" if value is None else "boolean"
    if isinstance(value, (int, float)):
        return "integer" if isinstance(value, int) or value.is_integer() else "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values: 1 is 1.0, and not true."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(each, other[name]) for name, each in one.items())
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


class Validator:
    """Judges values; references are followed by `resolve`."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._doubts = 0  # keywords around, for which no is as good as yes

    def valid(self, value: Any, schema: Any, where: str, depth: int = 0) -> bool:
        """Whether the value satisfies the schema. Raises Glm4Error for what is not judged here."""
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, Mapping) or depth > _DEPTH:
            raise Glm4Error(f"{where} is no JSON schema that can be followed")
        return all(
            judge(self, value, schema[keyword], schema, f"{where}.{keyword}", depth + 1)
            for keyword, judge in _JUDGES.items()
            if keyword in schema
        )

    def _of_type(self, value: Any, kinds: Any, schema: Any, where: str, depth: int) -> bool:
        kind = type_of(value)
        nullable = schema.get("nullable") is True and value is None
        wanted = [kinds] if isinstance(kinds, str) else kinds
        return nullable or kind in wanted or (kind == "integer" and "number" in wanted)

    def _listed(self, value: Any, values: Any, schema: Any, where: str, depth: int) -> bool:
        return any(same(value, each) for each in values)

    def _constant(self, value: Any, constant: Any, schema: Any, where: str, depth: int) -> bool:
        return same(value, constant)

    def _reference(self, value: Any, reference: Any, schema: Any, where: str, depth: int) -> bool:
        return self.valid(value, self._resolve(reference, where), where, depth)

    def _combined(self, value: Any, branches: Any, schema: Any, where: str, depth: int) -> bool:
        if not isinstance(branches, list):
            raise Glm4Error(f"{where} must be a list of schemas")
        keyword = where.rpartition(".")[2]
        judge = self._certain if keyword == "oneOf" else self.valid
        count = sum(judge(value, each, where, depth) for each in branches)
        return count == len(branches) if keyword == "allOf" else count == 1 if keyword == "oneOf" else count > 0

    def _negated(self, value: Any, negated: Any, schema: Any, where: str, depth: int) -> bool:
        return not self._certain(value, negated, where, depth)

    def _certain(self, value: Any, schema: Any, where: str, depth: int) -> bool:
        self._doubts += 1
        try:
            return self.valid(value, schema, where, depth)
        finally:
            self._doubts -= 1

    def _conditional(self, value: Any, condition: Any, schema: Any, where: str, depth: int) -> bool:
        chosen = "then" if self._certain(value, condition, where, depth) else "else"
        return self.valid(value, schema.get(chosen, True), where, depth)

    def _bound(self, value: Any, bound: Any, schema: Any, where: str, depth: int) -> bool:
        if type_of(value) not in ("integer", "number"):
            return True
        own, other = exact(value), exact(bound)
        keyword = where.rpartition(".")[2]
        return {"minimum": own >= other, "maximum": own <= other, "exclusiveMinimum": own > other,
                "exclusiveMaximum": own < other}.get(keyword, own % (other or 1) == 0)  # fmt: skip

    def _length(self, value: Any, count: Any, schema: Any, where: str, depth: int) -> bool:
        keyword = where.rpartition(".")[2]
        kind = {"Le": str, "It": list, "Pr": Mapping}[keyword[3:5]]
        return not isinstance(value, kind) or (len(value) >= count if keyword[:3] == "min" else len(value) <= count)

    def _text(self, value: Any, spec: Any, schema: Any, where: str, depth: int) -> bool:
        if not isinstance(value, str):
            return True
        keyword = where.rpartition(".")[2]
        specs = list(spec) if isinstance(spec, (list, tuple)) else [spec]
        matched = all(each.matches(value) for each in string_automata({keyword: specs}, where))
        if not matched and self._doubts:  # our patterns match a little less than they may
            raise Glm4Error(f"{where} can't be guided", "Leave it out of the schema, and check the reply for it.")
        return matched

    def _members(self, value: Any, spec: Any, schema: Any, where: str, depth: int) -> bool:
        if not isinstance(value, Mapping):
            return True
        properties, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        return all(self._member(name, each, properties, patterns, schema, where, depth) for name, each in value.items())

    def _member(self, name: str, value: Any, own: Any, patterns: Any, schema: Any, where: str, depth: int) -> bool:
        found = [own[name]] if name in own else []
        found += [each for pattern, each in patterns.items() if self._text(name, pattern, {}, "x.pattern", depth)]
        return all(
            self.valid(value, each, where, depth) for each in found or [schema.get("additionalProperties", True)]
        )

    def _names(self, value: Any, names: Any, schema: Any, where: str, depth: int) -> bool:
        return not isinstance(value, Mapping) or all(self.valid(name, names, where, depth) for name in value)

    def _required(self, value: Any, names: Any, schema: Any, where: str, depth: int) -> bool:
        return not isinstance(value, Mapping) or all(name in value for name in names)

    def _items(self, value: Any, spec: Any, schema: Any, where: str, depth: int) -> bool:
        if not isinstance(value, list):
            return True
        first, rest = tuple_of(schema)
        return all(
            self.valid(each, first[index] if index < len(first) else rest, where, depth)
            for index, each in enumerate(value)
        )

    def _unique(self, value: Any, unique: Any, schema: Any, where: str, depth: int) -> bool:
        if not unique or not isinstance(value, list):
            return True
        return not any(same(each, other) for index, each in enumerate(value) for other in value[:index])

    def _refused(self, value: Any, spec: Any, schema: Any, where: str, depth: int) -> bool:
        if isinstance(value, (Mapping, list)):
            raise Glm4Error(f"{where} can't be guided", "Leave it out of the schema, and check the reply for it.")
        return True


def tuple_of(schema: Mapping[str, Any]) -> tuple[list[Any], Any]:
    """The schemas of an array's first items and of the rest, in either draft's words."""
    items = schema.get("items", True)
    if "prefixItems" in schema:
        return list(schema["prefixItems"]), items
    return (list(items), schema.get("additionalItems", True)) if isinstance(items, list) else ([], items)


_V = Validator
_JUDGES: dict[str, Callable[[Validator, Any, Any, Any, str, int], bool]] = {
    "type": _V._of_type, "enum": _V._listed, "const": _V._constant, "$ref": _V._reference,
    **dict.fromkeys(("allOf", "anyOf", "oneOf"), _V._combined), "not": _V._negated, "if": _V._conditional,
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), _V._bound),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), _V._length),
    **dict.fromkeys(("pattern", "format"), _V._text),
    **dict.fromkeys(("properties", "patternProperties", "additionalProperties"), _V._members),
    "propertyNames": _V._names, "required": _V._required,
    **dict.fromkeys(("items", "prefixItems", "additionalItems"), _V._items), "uniqueItems": _V._unique,
    **dict.fromkeys(("contains", "dependentRequired", "dependentSchemas", "dependencies", "unevaluatedProperties",
                     "unevaluatedItems", "$dynamicRef", "$recursiveRef"), _V._refused),
}  # fmt: skip
