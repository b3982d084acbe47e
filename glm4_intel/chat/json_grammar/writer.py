"""Shapes as EBNF: one rule for each schema, arrays and objects made of the rules of their parts."""

import json
from collections.abc import Mapping
from typing import Any

from ...errors import Glm4Error
from . import numbers
from .branches import Branches, assertions, key_of
from .ebnf import EMPTY, NEVER, Piece, Rules, either, literal, repeated, sequence
from .objects import Objects
from .shapes import Shape, refuse
from .strings import string
from .validation import TYPES

_BASICS = r"""value ::= object | array | text | number | "true" | "false" | "null"
object ::= "{" (pair (", " pair)*)? "}"
pair ::= text ": " value
array ::= "[" (value (", " value)*)? "]"
number ::= "-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?
"""
VALUE, _OBJECT, _ARRAY = Piece("value"), Piece("object"), Piece("array")
_MOST_ITEMS, _MOST_NEEDED = 256, 1000
"""Items that an array without a nearer limit of its own may have more than it must, and that it may have to have."""
_KEYWORDS = {
    "string": {"minLength", "maxLength", "pattern", "format"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "array": {"minItems", "maxItems", "uniqueItems"},
    "object": {"minProperties", "maxProperties"},
}
_MOST_SET = 64
_MOST_COUNTED = 64
"""Members that are counted; each count is a rule of its own."""
_DEPTH = 100


class Writer:
    """Writes the rules of one document."""

    def __init__(self, whole: Any) -> None:
        self.rules, self.branches = Rules(), Branches(whole)
        self._written: dict[str, Piece] = {}
        self._depth = 0

    def grammar(self, where: str) -> str:
        """The whole grammar. Raises Glm4Error where no finite value satisfies the schema."""
        schema = self.branches.whole
        root = self.form(schema, where)
        if root == NEVER or not self.rules.finite(root):
            shown = f"{schema!r}" if len(f"{schema!r}") < 80 else "a schema"
            raise Glm4Error(f"{where} is {shown}, which is no JSON schema that a value can satisfy")
        text = string({}, self.rules, where).text
        return self.rules.text(root) + f"text ::= {text}\n" + _BASICS

    def form(self, schema: Any, where: str) -> Piece:
        """What a schema's values look like: a rule, or NEVER."""
        if schema is True or (isinstance(schema, Mapping) and not assertions(schema)):
            return VALUE
        if not isinstance(schema, Mapping):
            return NEVER if schema is False else self._shaped(schema, where)
        key = key_of(schema)
        if key not in self._written:
            self._written[key] = rule = self.rules.reserve()
            self._descend(where)
            form = self._form(schema, where)
            self._depth -= 1
            self.rules.define(rule, form)
            if form == NEVER:
                self._written[key] = NEVER
        return self._written[key]

    def _descend(self, where: str) -> None:
        self._depth += 1
        if self._depth > _DEPTH:
            raise Glm4Error(f"{where} is more than {_DEPTH} schemas deep", "Make the schema flatter.")

    def _form(self, schema: Mapping[str, Any], where: str) -> Piece:
        alone = assertions(schema)
        if alone == {"$ref"}:
            target = self.branches.resolve(schema["$ref"], where)
            return self.form(target, str(schema["$ref"]))
        if alone == {"anyOf"} and isinstance(schema["anyOf"], list) and schema["anyOf"]:
            return either(self.form(each, f"{where}.anyOf[{i}]") for i, each in enumerate(schema["anyOf"]))
        return self._shaped(schema, where)

    def _shaped(self, schema: Any, where: str) -> Piece:
        return either(self.shape(each, where) for each in self.branches.shapes(schema, where))

    def shape(self, shape: Shape, where: str) -> Piece:
        """What a shape's values look like."""
        if shape.values is not None:
            return either(literal(written(value)) for value in shape.values)
        types = shape.types - ({"integer"} if "number" in shape.types else set())
        implied = either(self._typed(kind, shape, where) for kind in sorted(types & _implied(shape)))
        if implied != NEVER and len(shape.types) == len(TYPES):
            return implied
        return either(self._typed(kind, shape, where) for kind in sorted(types))

    def _typed(self, kind: str, shape: Shape, where: str) -> Piece:
        if kind == "string":
            return string(shape.limits, self.rules, where)
        if kind == "object":
            return Objects(self, shape, where).form() if _limited_object(shape) else _OBJECT
        if kind == "array":
            return self._array(shape, where)
        if kind in ("number", "integer"):
            writer = numbers.number if kind == "number" else numbers.integer
            return self.rules.add(writer(shape.limits, where))
        return Piece('"null"') if kind == "null" else Piece('("true" | "false")')

    def _array(self, shape: Shape, where: str) -> Piece:
        limits = shape.limits
        least, most = limits.get("minItems", 0), limits.get("maxItems")
        contained = limits.get("minContains", 1) if shape.contained else 0
        if "maxContains" in limits and shape.contained:
            refuse(f"{where}.maxContains")
        least = max(least, contained)
        if least > _MOST_NEEDED or contained > 20:
            raise Glm4Error(f"{where} needs {least} items, more than {_MOST_NEEDED}", "Ask for fewer at once.")
        if not shape.tuples and not contained and (least, most) == (0, None) and "uniqueItems" not in limits:
            return _ARRAY
        if limits.get("uniqueItems") and (most is None or most > 1):
            return self._set(shape, least, most, where)
        first = max([contained, *(len(items) for items, _ in shape.tuples)])
        items = [self._item(shape, index, where) for index in range(first)]
        return _bracketed(items, self._item(shape, first, where), least, most)

    def _item(self, shape: Shape, index: int, where: str) -> Piece:
        parts = [items[index] if index < len(items) else rest for items, rest in shape.tuples]
        parts += [each for each in shape.contained if index < shape.limits.get("minContains", 1)]
        return self.form(combined(parts), f"{where}.items")

    def _set(self, shape: Shape, least: int, most: int | None, where: str) -> Piece:
        """Different items of a short list, in its order."""
        parts = [rest for items, rest in shape.tuples]
        if any(items for items, _ in shape.tuples) or shape.contained or not parts:
            refuse(f"{where}.uniqueItems")
        shapes = self.branches.shapes(combined(parts), f"{where}.items")
        listed = [each for shape in shapes for each in shape.values or ()]
        listed += [each for each in (True, False) if any(s.types == {"boolean"} for s in shapes)]
        if any(s.values is None and s.types != {"boolean"} for s in shapes) or len(listed) > _MOST_SET:
            refuse(f"{where}.uniqueItems")
        texts = list(dict.fromkeys(map(written, (each for each in listed if not isinstance(each, float)))))
        return chosen([literal(each) for each in texts], [False] * len(texts), least, most, "[]", self.rules)


def chosen(parts: list[Piece], needed: list[bool], least: int, most: int | None, brackets: str, rules: Rules) -> Piece:
    """So many of the parts, in their order, those that are not needed at will; a comma before all but the first."""
    counted = least > sum(needed) or (most is not None and most < len(parts))
    if counted and len(parts) > _MOST_COUNTED:
        raise Glm4Error("A count among so many members can't be guided", "Leave the count out.")
    end, rows = literal(brackets[1]), len(parts)
    rest: dict[int, Piece] = {count: end if least <= count <= (rows if most is None else most) else NEVER
                              for count in (range(rows + 2) if counted else [0, 1])}  # fmt: skip
    if not counted:
        rest = {0: end, 1: end}
    for part, must in reversed(list(zip(parts, needed, strict=True))):
        following: dict[int, Piece] = {}
        for count in range(rows + 1) if counted else (0, 1):
            after = rest.get(count + 1 if counted else 1, NEVER)
            taken = sequence(part if count == 0 else sequence(Piece('", "'), part), after)
            form = either([taken] if must else [taken, rest.get(count, NEVER)])
            following[count] = rules.add(form, "rest") if form != NEVER else NEVER
        rest = following
    return sequence(literal(brackets[0]), rest[0])


def _bracketed(items: list[Piece], more: Piece, least: int, most: int | None) -> Piece:
    """An array of the items, as many as it must have, and more."""
    extra = max(least - len(items), 0)
    room = _MOST_ITEMS if most is None else min(most - len(items) - extra, _MOST_ITEMS)
    comma = Piece('", "')
    endless = most is None and more != NEVER
    tail = repeated(sequence(comma, more), extra, None if endless else extra + max(room, 0)) if items else EMPTY
    if not items:
        if most == 0 or more == NEVER:
            return NEVER if least else Piece('"[]"')
        rest = repeated(sequence(comma, more), max(least - 1, 0), None if endless else max(extra + room - 1, 0))
        some = sequence(Piece('"["'), more, rest, Piece('"]"'))
        return some if least else either([Piece('"[]"'), some])
    form = tail if most is None or most >= len(items) else EMPTY
    for index in range(len(items) - 1, -1, -1):
        part = sequence(comma if index else EMPTY, items[index], form)
        ways = [part] if most is None or index < most else []
        form = either([*ways, EMPTY] if index >= least else ways)
    return sequence(Piece('"["'), form, Piece('"]"'))


def _implied(shape: Shape) -> set[str]:
    """The types that a schema without a `type` means: those that its keywords are for."""
    kinds = {kind for kind, keywords in _KEYWORDS.items() if keywords & set(shape.limits)}
    kinds |= {"array"} if shape.tuples or shape.contained else set()
    return kinds | ({"object"} if _limited_object(shape) else set())


def _limited_object(shape: Shape) -> bool:
    return bool(shape.layers or shape.names or shape.required or {"minProperties", "maxProperties"} & set(shape.limits))


def combined(parts: list[Any]) -> Any:
    """One schema that says what all of them say."""
    told = [part for part in parts if part is not True]
    return told[0] if len(told) == 1 else {"allOf": told} if told else True


def written(value: Any) -> str:
    """A value as the model writes it, without the beginning of a special token."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise Glm4Error(f"A value of the schema can't be written: {error}", "Give one that JSON has.") from error
    return text.replace("<|", "<\\u007c").replace("\x7f", "\\u007f")
