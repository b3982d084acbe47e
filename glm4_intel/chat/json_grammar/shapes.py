"""What several schemas say together: the shapes that a value may have, each a conjunction of plain keywords."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import lcm
from typing import Any

from ...errors import Glm4Error
from .numbers import bounds
from .validation import TYPES, tuple_of

_LARGER = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains"}
_SMALLER = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains"}
_NUMBERS = {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf"}
_COUNTS = (_LARGER | _SMALLER) - _NUMBERS
_KINDS: dict[str, tuple[type, ...]] = {
    "properties": (Mapping,), "patternProperties": (Mapping,), "required": (list,), "pattern": (str,),
    "uniqueItems": (bool,), "items": (Mapping, list, bool), "prefixItems": (list,), "propertyNames": (Mapping, bool),
    "additionalProperties": (Mapping, bool), "additionalItems": (Mapping, bool), "contains": (Mapping, bool),
    "unevaluatedProperties": (Mapping, bool), "unevaluatedItems": (Mapping, bool),
}  # fmt: skip
_MOST_VALUES = 10_000
REFUSED = ("$dynamicRef", "$recursiveRef", "disallow", "extends")
Layer = tuple[Mapping[str, Any], Mapping[str, Any], Any]
"""One schema's properties, its pattern properties and what others must be."""


@dataclass(frozen=True)
class Shape:
    """A conjunction of schemas without branches."""

    types: frozenset[str] = frozenset(TYPES)
    values: tuple[Any, ...] | None = None
    """The only values that come into question, if a schema lists them."""
    limits: Mapping[str, Any] = field(default_factory=dict)
    """Bounds, counts, patterns and formats by keyword."""
    layers: tuple[Layer, ...] = ()
    tuples: tuple[tuple[list[Any], Any], ...] = ()
    names: tuple[Any, ...] = ()
    required: tuple[str, ...] = ()
    contained: tuple[Any, ...] = ()
    sources: tuple[Any, ...] = ()
    """The schemas themselves, that a listed value must satisfy."""
    seen: "Seen" = field(default_factory=lambda: Seen())
    """What the schemas that hold have a word about."""


@dataclass(frozen=True)
class Seen:
    """The members and items that some schema evaluates, as far as that is sure: what `unevaluated…` is not about.

    https://json-schema.org/draft/2020-12/json-schema-core#section-11
    """

    names: frozenset[str] = frozenset()
    patterns: frozenset[str] = frozenset()
    items: int = 0
    all_names: bool = False
    all_items: bool = False

    def __or__(self, other: "Seen") -> "Seen":
        return Seen(
            self.names | other.names, self.patterns | other.patterns, max(self.items, other.items),
            self.all_names or other.all_names, self.all_items or other.all_items,
        )  # fmt: skip

    @classmethod
    def of(cls, schema: Mapping[str, Any]) -> "Seen":
        """What a schema's own keywords evaluate."""
        items, listed = schema.get("items"), schema.get("prefixItems")
        first = items if isinstance(items, list) else listed or []
        rest = schema.get("additionalItems") if isinstance(items, list) else items
        return cls(
            frozenset(schema.get("properties", ())), frozenset(schema.get("patternProperties", ())), len(first),
            "additionalProperties" in schema, rest is not None,
        )  # fmt: skip


def of_unevaluated(shape: Shape, schema: Mapping[str, Any]) -> Shape:
    """The shape with what a schema says of the members and items that none of its parts evaluates."""
    seen = shape.seen
    if "unevaluatedProperties" in schema:
        if not seen.all_names:
            layer = (
                dict.fromkeys(seen.names, True),
                dict.fromkeys(seen.patterns, True),
                schema["unevaluatedProperties"],
            )
            shape = replace(shape, layers=(*shape.layers, layer))
        seen = replace(seen, all_names=True)
    if "unevaluatedItems" in schema:
        if not seen.all_items:
            shape = replace(shape, tuples=(*shape.tuples, ([True] * seen.items, schema["unevaluatedItems"])))
        seen = replace(seen, all_items=True)
    return replace(shape, seen=seen)


def plain_shape(schema: Mapping[str, Any], where: str, draft4: bool) -> Shape:
    """The shape of a schema's own keywords. Raises Glm4Error for one that is malformed or can't be guided."""
    _check(schema, where)
    types = _types(schema, where)
    layer = (
        schema.get("properties", {}),
        schema.get("patternProperties", {}),
        schema.get("additionalProperties", True),
    )
    return Shape(
        types=types,
        values=_values(schema, where),
        limits=_limits(schema, where, draft4),
        layers=(layer,) if layer != ({}, {}, True) else (),
        tuples=(tuple_of(schema),) if {"items", "prefixItems"} & set(schema) else (),
        names=(schema["propertyNames"],) if "propertyNames" in schema else (),
        required=tuple(schema["required"]) if isinstance(schema.get("required"), list) else (),
        contained=(schema["contains"],) if "contains" in schema and schema.get("minContains") != 0 else (),
        sources=(schema,),
        seen=Seen.of(schema),
    )


def _check(schema: Mapping[str, Any], where: str) -> None:
    for keyword in REFUSED:
        if keyword in schema:
            refuse(f"{where}.{keyword}")
    for keyword, kinds in _KINDS.items():
        if keyword in schema and not isinstance(schema[keyword], kinds):
            if keyword == "required" and isinstance(schema[keyword], bool):
                continue  # draft 3 wrote it into the property
            raise Glm4Error(f"{where}.{keyword} is {schema[keyword]!r}, which is not what the keyword takes")
    if not all(isinstance(name, str) for name in schema.get("required", ()) or ()):
        raise Glm4Error(f"{where}.required must be a list of names")


def refuse(place: str) -> Any:
    """Raises the Glm4Error that names a keyword that can't be held."""
    raise Glm4Error(f"{place} can't be guided", "Leave it out of the schema, and check the reply for it.")


def _types(schema: Mapping[str, Any], where: str) -> frozenset[str]:
    kinds = schema.get("type", list(TYPES))
    listed = kinds if isinstance(kinds, list) else [kinds]
    for kind in listed:
        if not isinstance(kind, str) or kind not in TYPES:
            raise Glm4Error(f"{where}.type is {kind!r}", f"JSON schema has {', '.join(TYPES)}.")
    more = {"integer"} if "number" in listed else set()
    return frozenset(listed) | more | ({"null"} if schema.get("nullable") is True else set())


def _values(schema: Mapping[str, Any], where: str) -> tuple[Any, ...] | None:
    if "const" in schema:
        return (schema["const"],)
    if "enum" not in schema:
        return None
    if not isinstance(schema["enum"], list) or not schema["enum"]:
        raise Glm4Error(f"{where}.enum must be a list with a value at least")
    if len(schema["enum"]) > _MOST_VALUES:
        raise Glm4Error(f"{where}.enum has more than {_MOST_VALUES} values", "Give fewer, or a pattern.")
    return tuple(schema["enum"])


def _limits(schema: Mapping[str, Any], where: str, draft4: bool) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for keyword in (_LARGER | _SMALLER | _NUMBERS) & set(schema):
        value = schema[keyword]
        if draft4 and isinstance(value, bool):
            if value and "m" + keyword[10:] in schema:
                limits[keyword] = schema["m" + keyword[10:]]
            continue
        limits[keyword] = _count(value, f"{where}.{keyword}") if keyword in _COUNTS else _number(value, keyword, where)
    limits |= {keyword: (schema[keyword],) for keyword in ("pattern", "format") if keyword in schema}
    return limits | ({"uniqueItems": True} if schema.get("uniqueItems") is True else {})


def _count(value: Any, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0 or value != value // 1:
        raise Glm4Error(f"{place} is {value!r}, not a count")
    return int(value)


def _number(value: Any, keyword: str, where: str) -> Any:
    endless = isinstance(value, float) and not abs(value) < float("inf")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or endless:
        raise Glm4Error(f"{where}.{keyword} is {value!r}, not a number")
    if keyword == "multipleOf" and value <= 0:
        raise Glm4Error(f"{where}.multipleOf is {value!r}, not above 0")
    if isinstance(value, int) and abs(value) >= 10**400:
        raise Glm4Error(f"{where}.{keyword} has more than 400 digits", "Give a smaller one.")
    return value


def merged(one: Shape, other: Shape) -> Shape:
    """What satisfies both."""
    values = one.values if other.values is None else other.values
    limits = dict(one.limits)
    for keyword, value in other.limits.items():
        limits[keyword] = _nearer(keyword, limits[keyword], value) if keyword in limits else value
    return Shape(
        one.types & other.types, values, limits, one.layers + other.layers, one.tuples + other.tuples,
        one.names + other.names, tuple(dict.fromkeys(one.required + other.required)),
        one.contained + other.contained, one.sources + other.sources, one.seen | other.seen,
    )  # fmt: skip


def _nearer(keyword: str, one: Any, other: Any) -> Any:
    if keyword in _LARGER:
        return max(one, other)
    if keyword in _SMALLER:
        return min(one, other)
    if keyword != "multipleOf":
        return one if one == other else one + other
    if one == other or (one == int(one) and other == int(other)):
        return one if one == other else lcm(int(one), int(other))
    return refuse(f"multipleOf {one} with {other}")


def contradictory(shape: Shape) -> bool:
    """Whether the shape's own limits leave nothing."""
    if not shape.types or shape.values == ():
        return True
    if not shape.types <= {"integer", "number"}:
        return False
    low, low_out, high, high_out = bounds(shape.limits)
    return low is not None and high is not None and (low > high or (low == high and (low_out or high_out)))
