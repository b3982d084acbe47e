"""References and branching keywords resolved: a schema as the shapes that its values may have.

Every shape is held to, and each keyword that can't be is refused. Where a schema's complement is needed, shapes that
surely lie in it are enough: a reply need not be able to take every form that the schema allows.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import product
from typing import Any
from urllib.parse import unquote

from ...errors import Glm4Error
from .references import LocalPointer, with_local_references
from .shapes import Seen, Shape, contradictory, merged, of_unevaluated, plain_shape, refuse
from .validation import TYPES, Validator, type_of

_MOST_SHAPES, _DEPTH = 256, 40
_OPPOSITE = {
    "minimum": ("number", "exclusiveMaximum", 0), "maximum": ("number", "exclusiveMinimum", 0),
    "exclusiveMinimum": ("number", "maximum", 0), "exclusiveMaximum": ("number", "minimum", 0),
    "minLength": ("string", "maxLength", -1), "maxLength": ("string", "minLength", 1),
    "minItems": ("array", "maxItems", -1), "maxItems": ("array", "minItems", 1),
    "minProperties": ("object", "maxProperties", -1), "maxProperties": ("object", "minProperties", 1),
}  # fmt: skip
"""By keyword, the type and the keyword that hold where it does not, and what to add to its count."""
ANNOTATIONS = frozenset(
    {"title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly", "$schema", "$id",
     "id", "$comment", "$defs", "definitions", "$anchor", "strict", "$vocabulary", "contentEncoding",
     "contentMediaType", "contentSchema"}
)  # fmt: skip
_ASSERTIONS = frozenset(
    {"type", "enum", "const", "$ref", "allOf", "anyOf", "oneOf", "not", "if", "properties", "patternProperties",
     "additionalProperties", "propertyNames", "required", "items", "prefixItems", "additionalItems", "contains",
     "minContains", "maxContains", "uniqueItems", "multipleOf", "pattern", "format", "dependentRequired",
     "dependentSchemas", "dependencies", "unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef",
     "disallow", "extends", "nullable", *_OPPOSITE}
)  # fmt: skip


def assertions(schema: Mapping[str, Any]) -> set[str]:
    """The keywords of a schema that a value can fail. Others are ignored, as the standard says."""
    return set(schema) & _ASSERTIONS


class Branches:
    """The shapes of one document's schemas."""

    def __init__(self, whole: Any) -> None:
        stated = whole.get("$schema", "") if isinstance(whole, Mapping) else ""
        draft = stated if isinstance(stated, str) else ""
        self._draft4 = "draft-04" in draft or "draft-03" in draft
        self.whole = with_local_references(whole, draft)
        self._based: bool | None = None
        self.validator = Validator(self.resolve)

    def resolve(self, reference: Any, where: str) -> Any:
        """The schema that a `$ref` in the document names."""
        local = isinstance(reference, LocalPointer)
        if not isinstance(reference, str) or reference[:2] not in ("#", "#/") or not local and self._has_bases():
            raise Glm4Error(f"{where}.$ref is {reference!r}, which is not in the schema")
        target = self.whole
        for step in reference.split("/")[1:]:
            step = unquote(step, errors="surrogatepass").replace("~1", "/").replace("~0", "~")
            if isinstance(target, list) and step.isdecimal() and len(step) < 7 and int(step) < len(target):
                target = target[int(step)]
            else:
                target = target.get(step) if isinstance(target, Mapping) else None
            if target is None:
                raise Glm4Error(f"{where}.$ref is {reference!r}, which is not in the schema")
        return target

    def _has_bases(self) -> bool:
        """Whether a schema inside of the document has an address of its own, which references are relative to."""
        if self._based is None:
            inner = (each for each in _objects(self.whole) if each is not self.whole)
            names = [each.get(key) for each in inner for key in ("$id", "id")]
            self._based = any(isinstance(name, str) and not name.startswith("#") for name in names)
        return self._based

    def shapes(self, schema: Any, where: str, depth: int = 0) -> list[Shape]:
        """The shapes of a schema's values; none where no value satisfies it."""
        if isinstance(schema, bool):
            return [Shape()] if schema else []
        if not isinstance(schema, Mapping):
            raise Glm4Error(f"{where} is {schema!r}, which is no JSON schema that a value can satisfy")
        if depth > _DEPTH:
            raise Glm4Error(f"{where} refers to itself without an end", "Break the circle of references.")
        own = plain_shape(schema, where, self._draft4)
        if own.values is not None:
            return self._listed(own, schema, where)
        found = [own]
        for choice in self._choices(schema, where, depth):
            found = [merged(one, other) for one in found for other in choice]
            found = [shape for shape in map(self._known, found) if not contradictory(shape)]
            if len(found) > _MOST_SHAPES:
                raise Glm4Error(f"{where} branches into more than {_MOST_SHAPES} forms", "Make the schema simpler.")
        return [of_unevaluated(shape, schema) for shape in found if not contradictory(shape)]

    def _listed(self, shape: Shape, schema: Any, where: str) -> list[Shape]:
        own = "const" if "const" in schema else "enum"
        rest = {keyword: each for keyword, each in schema.items() if keyword != own}
        values = tuple(each for each in shape.values or () if self.validator.valid(each, rest, where))
        return [replace(Shape(), values=values, sources=(schema,))] if values else []

    def _known(self, shape: Shape) -> Shape:
        """The shape with those of its listed values that satisfy all of its schemas."""
        if shape.values is None:
            return shape
        judge = self.validator.valid
        kept = tuple(value for value in shape.values if all(judge(value, each, "enum") for each in shape.sources))
        return replace(shape, values=kept)

    def _choices(self, schema: Mapping[str, Any], where: str, depth: int) -> Iterable[list[Shape]]:
        """For each branching keyword, the shapes that it leaves."""
        below = depth + 1
        if "$ref" in schema:
            yield self.shapes(self.resolve(schema["$ref"], where), str(schema["$ref"]), below)
        for index, each in enumerate(_list(schema, "allOf", where)):
            yield self.shapes(each, f"{where}.allOf[{index}]", below)
        if "anyOf" in schema:
            yield self._any(_list(schema, "anyOf", where), f"{where}.anyOf", below)
        if "oneOf" in schema:
            yield self._one(_list(schema, "oneOf", where), f"{where}.oneOf", below)
        if "not" in schema:
            yield self._none_of(schema["not"], f"{where}.not", below)
        if "if" in schema and ("then" in schema or "else" in schema):
            yield self._conditional(schema, where, below)
        for keyword in ("dependentRequired", "dependentSchemas", "dependencies"):
            for name, needed in _mapping(schema, keyword, where).items():
                then = {"required": [needed] if isinstance(needed, str) else needed}
                absent, present = {"properties": {name: False}}, {"required": [name]}
                choices = [absent, {"allOf": [present, then if isinstance(needed, (list, str)) else needed]}]
                yield self._any(choices, f"{where}.{keyword}.{name}", below)

    def _any(self, branches: list[Any], where: str, depth: int) -> list[Shape]:
        return [s for index, each in enumerate(branches) for s in self.shapes(each, f"{where}[{index}]", depth)]

    def _none_of(self, schema: Any, where: str, depth: int) -> list[Shape]:
        """Shapes of values that do not satisfy a schema; what says so evaluates nothing."""
        return [replace(each, seen=Seen()) for each in self._any(self.negations(schema, where, depth), where, depth)]

    def _one(self, branches: list[Any], where: str, depth: int) -> list[Shape]:
        """The branches, each without what another one allows too."""
        own = [self.shapes(each, f"{where}[{index}]", depth) for index, each in enumerate(branches)]
        found: list[Shape] = []
        for index, shapes in enumerate(own):
            for other, others in enumerate(own):
                if other != index and not self._apart(shapes, others, where, depth):
                    without = self._none_of(branches[other], where, depth)
                    shapes = [self._known(merged(one, each)) for one in shapes for each in without]
            found += shapes
        return [shape for shape in found if not contradictory(shape)]

    def _apart(self, some: list[Shape], others: list[Shape], where: str, depth: int) -> bool:
        return all(self._empty(self._known(merged(*pair)), where, depth) for pair in product(some, others))

    def _empty(self, shape: Shape, where: str, depth: int) -> bool:
        """Whether surely nothing has the shape."""
        if contradictory(shape):
            return True
        if shape.values is not None or shape.types != {"object"} or depth > 8:
            return False
        return any(self._lacks(shape, name, where, depth + 1) for name in shape.required)

    def _lacks(self, shape: Shape, name: str, where: str, depth: int) -> bool:
        """Whether no value can stand under a required name."""
        parts = [layer[0].get(name, True if layer[1] else layer[2]) for layer in shape.layers]
        return not any(
            not self._empty(each, where, depth) for each in self.shapes({"allOf": parts}, f"{where}.{name}", depth)
        )

    def _conditional(self, schema: Mapping[str, Any], where: str, depth: int) -> list[Shape]:
        condition = schema["if"]
        then = self.shapes({"allOf": [condition, schema.get("then", True)]}, where, depth)
        otherwise = self.shapes(schema.get("else", True), f"{where}.else", depth)
        failed = self._none_of(condition, f"{where}.if", depth)
        return then + [merged(one, other) for one in failed for other in otherwise]

    def negations(self, schema: Any, where: str, depth: int) -> list[Any]:
        """Schemas that together hold only where this one does not."""
        if isinstance(schema, bool):
            return [] if schema else [True]
        if not isinstance(schema, Mapping) or depth > _DEPTH:
            raise Glm4Error(f"{where} is no schema that can be followed")
        keywords = assertions(schema)
        found = [each for keyword in sorted(keywords) for each in self._negation(keyword, schema, where, depth + 1)]
        return found if found or not keywords else refuse(where)

    def _negation(self, keyword: str, schema: Mapping[str, Any], where: str, depth: int) -> Iterable[Any]:
        value = schema[keyword]
        if keyword in ("const", "enum"):
            values = [value] if keyword == "const" else value
            met = {type_of(each) for each in values}
            yield {"type": [kind for kind in TYPES if kind not in _wider(met)]}
            yield {"enum": [True, False, None, 0, "", [], {}], "not": {"enum": values}}
            if "string" in met:
                yield {"type": "string", "minLength": 1 + max(len(each) for each in values if isinstance(each, str))}
        elif keyword == "type":
            met = {value} if isinstance(value, str) else set(value)
            yield {"type": [kind for kind in TYPES if kind not in _wider(met)]}
        elif keyword in _OPPOSITE:
            kind, opposite, more = _OPPOSITE[keyword]
            if not isinstance(value, bool) and isinstance(value, (int, float)) and value + more >= 0 or not more:
                yield {"type": kind, opposite: value + more}
        else:
            yield from self._structural(keyword, value, where, depth)

    def _structural(self, keyword: str, value: Any, where: str, depth: int) -> Iterable[Any]:
        if keyword == "required" and isinstance(value, list):
            yield from ({"type": "object", "properties": {name: False}} for name in value)
        elif keyword == "properties":
            for name, each in value.items():
                for other in self._negations_or_none(each, where, depth):
                    yield {"type": "object", "required": [name], "properties": {name: other}}
        elif keyword == "not":
            yield value
        elif keyword == "$ref":
            yield from self.negations(self.resolve(value, where), where, depth)
        elif keyword == "allOf":
            yield from (other for each in value for other in self._negations_or_none(each, where, depth))
        elif keyword == "anyOf":
            parts = [self.negations(each, where, depth) for each in value]
            if len(parts) < 6 and all(len(part) < 8 for part in parts):
                yield from ({"allOf": list(each)} for each in product(*parts))

    def _negations_or_none(self, schema: Any, where: str, depth: int) -> list[Any]:
        try:
            return self.negations(schema, where, depth)
        except Glm4Error:
            return []


def _wider(types: set[str]) -> set[str]:
    """The types with the one that holds the others' numbers."""
    return types | ({"integer", "number"} if types & {"integer", "number"} else set())


def _objects(value: Any) -> Iterable[Mapping[str, Any]]:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Mapping):
            yield each
        waiting += list(each.values()) if isinstance(each, Mapping) else each if isinstance(each, list) else []


def _list(schema: Mapping[str, Any], keyword: str, where: str) -> list[Any]:
    branches = schema.get(keyword, [])
    if not isinstance(branches, list) or (keyword in schema and not branches):
        raise Glm4Error(f"{where}.{keyword} must be a list of schemas")
    return branches


def _mapping(schema: Mapping[str, Any], keyword: str, where: str) -> Mapping[str, Any]:
    found = schema.get(keyword, {})
    if not isinstance(found, Mapping):
        raise Glm4Error(f"{where}.{keyword} must be an object")
    return found


def key_of(schema: Any) -> str:
    """What tells a schema from others."""
    return json.dumps(schema, sort_keys=True)
