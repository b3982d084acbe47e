"""References of one document as pointers from its root, whatever addresses its schemas have.

A schema may have an address of its own (`$id`), which references below it are relative to, and names (`$anchor`); see
https://json-schema.org/draft/2020-12/json-schema-core#section-8. What is not in the document is left as it is.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urljoin

_MAPS = {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"}
_LISTS = {"allOf", "anyOf", "oneOf", "prefixItems", "items"}
_SINGLE = {
    "items", "additionalItems", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else",
    "unevaluatedItems", "unevaluatedProperties", "contentSchema",
}  # fmt: skip
"""Keywords that hold schemas: only there are `$id` and `$ref` what they seem."""


class LocalPointer(str):
    """A reference that is a pointer from the document's root: `#/…`."""


@dataclass
class _Addresses:
    """Where what has an address is: pointers by address, and by address and name."""

    root: Any
    id_keyword: str
    beside_reference: bool | None
    """Whether an address beside a `$ref` counts: since draft 2019-09, not before; None where no draft is stated."""
    resources: dict[str, str] = field(default_factory=dict)
    anchors: dict[tuple[str, str], str] = field(default_factory=dict)
    names: Counter[str] = field(default_factory=Counter)
    """How often a name is that of a dynamic anchor."""

    def base_of(self, schema: Mapping[str, Any], base: str | None) -> str | None:
        """What references in a schema are relative to; None where drafts disagree."""
        stated = [schema[key] for key in ("$id", "id") if isinstance(schema.get(key), str)]
        own = [each for each in stated if each and not each.startswith("#")]
        if not own or base is None or ("$ref" in schema and self.beside_reference is False):
            return base
        doubtful = "$ref" in schema and not self.beside_reference and schema is not self.root
        if doubtful or len(own) > 1 or not isinstance(schema.get(self.id_keyword), str):
            return None
        return str(urljoin(base, own[0])).removesuffix("#")

    def add(self, schema: Any, base: str | None, pointer: str) -> None:
        """Note a schema's addresses, and those of the schemas in it."""
        if not isinstance(schema, Mapping):
            return
        own = self.base_of(schema, base)
        if own is not None:
            if own != base or not pointer:
                self._note(self.resources, own, pointer)
            for name in _names(schema, self.id_keyword):
                self._note(self.anchors, (own, name), pointer)
            if isinstance(schema.get("$dynamicAnchor"), str):
                self.names[schema["$dynamicAnchor"]] += 1
        for steps, inner in _inner(schema):
            self.add(inner, own, pointer + steps)

    def _note(self, known: dict[Any, str], address: Any, pointer: str) -> None:
        known[address] = pointer if address not in known else _TWICE

    def pointer(self, reference: Any, base: str | None) -> LocalPointer | None:
        """A reference from a schema of that base; None for one that is not in the document."""
        if base is None or not isinstance(reference, str):
            return None
        address, _, fragment = reference.partition("#")
        target = urljoin(base, address) if address else base
        if fragment and not fragment.startswith("/"):
            found = self.anchors.get((target, unquote(fragment)), _TWICE)
        else:
            found = self.resources.get(target, _TWICE)
        return None if found == _TWICE else LocalPointer(f"#{found}{fragment if fragment.startswith('/') else ''}")


_TWICE = "?"
"""In place of a pointer, for an address that several schemas have."""


def with_local_references(whole: Any, draft: str) -> Any:
    """The document with each of its references a LocalPointer, as far as it is in the document.

    `draft` is what its `$schema` says. A dynamic reference becomes a plain one where one schema alone can be meant.
    """
    early, late = (any(f"draft-0{number}" in draft for number in numbers) for numbers in ("34", "67"))
    addresses = _Addresses(whole, "id" if early else "$id", False if early or late else "draft/20" in draft or None)
    addresses.add(whole, "", "")
    return _rewritten(whole, "", addresses)


def _rewritten(schema: Any, base: str | None, addresses: _Addresses) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    own, written = addresses.base_of(schema, base), dict(schema)
    for keyword, each in schema.items():
        if keyword in _MAPS and isinstance(each, Mapping):
            written[keyword] = {name: _rewritten(inner, own, addresses) for name, inner in each.items()}
        elif keyword in _LISTS and isinstance(each, list):
            written[keyword] = [_rewritten(inner, own, addresses) for inner in each]
        elif keyword in _SINGLE:
            written[keyword] = _rewritten(each, own, addresses)
    if "$ref" in schema:
        written["$ref"] = addresses.pointer(schema["$ref"], own) or schema["$ref"]
    return _without_dynamic(written, own, addresses)


def _without_dynamic(schema: dict[str, Any], base: str | None, addresses: _Addresses) -> dict[str, Any]:
    """The schema with a plain reference in place of a dynamic one."""
    reference = schema.get("$dynamicRef")
    found = addresses.pointer(reference, base)
    if found is None or addresses.names[unquote(str(reference).partition("#")[2])] > 1:
        return schema
    rest = {keyword: each for keyword, each in schema.items() if keyword != "$dynamicRef"}
    if "$ref" not in rest:
        return {**rest, "$ref": found}
    return {**rest, "allOf": [*rest.get("allOf", ()), {"$ref": found}]}


def _names(schema: Mapping[str, Any], id_keyword: str) -> Iterator[str]:
    """A schema's anchors: since draft 2019-09 by keywords of their own, before that as its id."""
    stated = schema.get(id_keyword)
    if isinstance(stated, str) and stated.startswith("#") and "$ref" not in schema:
        yield stated[1:]
    names = {schema[keyword] for keyword in ("$anchor", "$dynamicAnchor") if isinstance(schema.get(keyword), str)}
    yield from names


def _inner(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The schemas in a schema, and the steps of the pointer to each."""
    for keyword, each in schema.items():
        if keyword in _MAPS and isinstance(each, Mapping):
            yield from ((f"/{keyword}/{_step(name)}", inner) for name, inner in each.items())
        elif keyword in _LISTS and isinstance(each, list):
            yield from ((f"/{keyword}/{index}", inner) for index, inner in enumerate(each))
        elif keyword in _SINGLE:
            yield f"/{keyword}", each


def _step(name: Any) -> str:
    return quote(str(name).replace("~", "~0").replace("/", "~1"), safe="~", errors="surrogatepass")
