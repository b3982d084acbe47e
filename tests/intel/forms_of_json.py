"""A judge of JSON values of its own, so that the grammar is not held against itself."""

from typing import Any

_TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def satisfies(value: Any, schema: Any, whole: Any) -> bool:
    """Whether a value satisfies a schema, of the keywords that the tests use."""
    if "$ref" in schema:
        return satisfies(value, whole["$defs"][schema["$ref"].rpartition("/")[2]], whole)
    if schema.get("nullable") and value is None:
        return True
    if "enum" in schema:
        return any(value == each and type(value) is type(each) for each in schema["enum"])
    if "const" in schema:
        return bool(value == schema["const"])
    if "anyOf" in schema:
        return any(satisfies(value, each, whole) for each in schema["anyOf"])
    kinds = schema.get("type", "object")
    return any(_of_kind(value, kind, schema, whole) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _of_kind(value: Any, kind: str, schema: Any, whole: Any) -> bool:
    if kind in ("integer", "number"):
        right = isinstance(value, int if kind == "integer" else (int, float)) and not isinstance(value, bool)
        return right and _within(value, schema)
    if not isinstance(value, _TYPES[kind]):
        return False
    if kind == "string":
        return schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**9)
    if kind == "array":
        long_enough = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 10**9)
        return long_enough and all(satisfies(each, schema["items"], whole) for each in value)
    if kind == "object":
        properties = schema.get("properties", {})
        known = all(name in properties and satisfies(each, properties[name], whole) for name, each in value.items())
        return known and all(name in value for name in schema.get("required", ()))
    return True


def _within(value: float, schema: Any) -> bool:
    return bool(
        value >= schema.get("minimum", value)
        and value <= schema.get("maximum", value)
        and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
    )
