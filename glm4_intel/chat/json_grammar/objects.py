"""Objects: declared members in their order, or a map whose names a pattern or a schema limits."""

from itertools import combinations
from typing import TYPE_CHECKING, Any

from ...errors import Glm4Error
from .automata import Automaton, both, negated
from .ebnf import NEVER, Piece, either, literal, repeated, sequence
from .patterns import pattern_automaton
from .shapes import Shape, refuse
from .strings import automaton_string, string

if TYPE_CHECKING:
    from .writer import Writer

_MOST_PATTERNS = 4
_COLON = Piece('": "')


class Objects:
    """Writes one shape's objects."""

    def __init__(self, writer: "Writer", shape: Shape, where: str) -> None:
        self._writer, self._shape, self._where = writer, shape, where
        patterns = dict.fromkeys(pattern for _, patterns, _ in shape.layers for pattern in patterns)
        self._patterns = {each: pattern_automaton(each, f"{where}.patternProperties") for each in patterns}

    def form(self) -> Piece:
        """The objects: a map where no member is declared. Raises Glm4Error for what can't be guided."""
        names = dict.fromkeys(name for properties, _, _ in self._shape.layers for name in properties)
        names |= dict.fromkeys(self._shape.required)
        listed = self._listed_names()
        if listed is not None and not names:
            names = dict.fromkeys(listed)
        members, needed = [], []
        for name in names:
            form = self._member(name)
            if form != NEVER:
                members.append(form)
                needed.append(name in self._shape.required)
            elif name in self._shape.required:
                return NEVER
        least, most = self._shape.limits.get("minProperties", 0), self._shape.limits.get("maxProperties")
        if not names and listed is None:
            return self._map(least, most)
        if least > len(members) and self._open():
            refuse(f"{self._where}.minProperties")
        from .writer import chosen

        return chosen(members, needed, least, most, "{}", self._writer.rules)

    def _open(self) -> bool:
        """Whether members could be added to those that are declared."""
        return all(additional is not False for _, _, additional in self._shape.layers)

    def _member(self, name: str) -> Piece:
        from .writer import combined, written

        place = f"{self._where}.properties.{name}"
        if not all(self._writer.branches.validator.valid(name, each, place) for each in self._shape.names):
            return NEVER
        found = [pattern for pattern, automaton in self._patterns.items() if automaton.matches(name)]
        parts = [part for layer in self._shape.layers for part in _parts(layer, name, found)]
        form = self._writer.form(combined(parts), place)
        return self._writer.rules.add(sequence(literal(written(name) + ": "), form)) if form != NEVER else NEVER

    def _listed_names(self) -> list[str] | None:
        """The names that a schema of names lists, if it does."""
        for names in self._shape.names:
            shapes = self._writer.branches.shapes(names, f"{self._where}.propertyNames")
            if all(shape.values is not None for shape in shapes):
                return [each for shape in shapes for each in shape.values or () if isinstance(each, str)]
        return None

    def _map(self, least: int, most: int | None) -> Piece:
        if least > 1:
            refuse(f"{self._where}.minProperties")  # a name that comes twice counts once
        pair = either(self._pairs())
        empty = [] if least else [Piece('"{}"')]
        if pair == NEVER or most == 0:
            return either(empty)
        pair = self._writer.rules.add(pair)
        more = repeated(sequence(Piece('", "'), pair), 0, None if most is None else min(most, 256) - 1)
        return either([*empty, sequence(Piece('"{"'), pair, more, Piece('"}"'))])

    def _pairs(self) -> list[Piece]:
        """A pair for each set of patterns that a name can match, and for the names that match none."""
        from .writer import combined

        if len(self._patterns) > _MOST_PATTERNS:
            raise Glm4Error(f"{self._where}.patternProperties has more than {_MOST_PATTERNS} patterns")
        pairs = []
        for count in range(len(self._patterns) + 1):
            for found in combinations(self._patterns, count):
                parts = [part for layer in self._shape.layers for part in _parts(layer, None, list(found))]
                form = self._writer.form(combined(parts), f"{self._where}.additionalProperties")
                pairs.append(sequence(self._key(found), _COLON, form) if form != NEVER else NEVER)
        return pairs

    def _key(self, found: tuple[str, ...]) -> Piece:
        """The names that match these patterns and no other."""
        automata = [each if name in found else negated(each) for name, each in self._patterns.items()]
        limits: dict[str, Any] = {}
        for names in self._shape.names:
            limits = self._name_limits(names, limits)
        if not automata:
            return string(limits, self._writer.rules, f"{self._where}.propertyNames")
        if limits:
            refuse(f"{self._where}.propertyNames beside patternProperties")
        whole: Automaton = automata[0]
        for each in automata[1:]:
            whole = both(whole, each, self._where)
        return automaton_string(whole, self._writer.rules)

    def _name_limits(self, names: Any, limits: dict[str, Any]) -> dict[str, Any]:
        shapes = self._writer.branches.shapes(names, f"{self._where}.propertyNames")
        strings = [shape for shape in shapes if "string" in shape.types]
        if len(strings) != 1 or strings[0].values is not None or limits:
            refuse(f"{self._where}.propertyNames")
        return dict(strings[0].limits)


def _parts(layer: Any, name: str | None, found: list[str]) -> list[Any]:
    """What a layer says of a name's value, given the patterns that match the name."""
    properties, patterns, additional = layer
    own = [properties[name]] if name in properties else []
    own += [patterns[each] for each in found if each in patterns]
    return own or [additional]
