"""Pieces of EBNF as the engine's parser (xgrammar) reads them, and the rules of a grammar.

A piece may stand in a sequence. `NEVER` is what no text satisfies: it makes a sequence never, and falls out of a
choice.
"""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from ...errors import Glm4Error

_MOST_BYTES = 1 << 20
"""A larger grammar would keep the engine busy for minutes."""
_LATIN = re.compile("([\x7f-\xff])")
_ESCAPED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_CLASS_ESCAPED = {"\\", "]", "[", "^", "-", '"'}
Ranges = tuple[tuple[int, int], ...]
"""Code points from and to, both included, in ascending order and disjoint."""


@dataclass(frozen=True)
class Piece:
    """A piece of a form: its EBNF, and whether a finite text satisfies it, given the rules that one does satisfy."""

    text: str
    ends: Callable[[Collection[str]], bool] = field(default=lambda known: True, compare=False)


NEVER = Piece("", lambda known: False)
EMPTY = Piece('""')


def literal(text: str) -> Piece:
    """The text as a piece. Raises Glm4Error for half a surrogate pair.

    Letters from U+007F to U+00FF stand in classes: in a literal, the engine joins them with a hex digit that follows.
    """
    if any(0xD800 <= ord(letter) <= 0xDFFF for letter in text):
        raise Glm4Error(f"{text!r} has half a surrogate pair in it", "Write the whole character.")
    parts = [part for part in _LATIN.split(text) if part]
    written = [f"[{part}]" if _LATIN.match(part) and part > "\x7f" else _quoted(part) for part in parts]
    return Piece(" ".join(written)) if written else EMPTY


def _quoted(text: str) -> str:
    if text == "\x7f":
        return "[\\x7f]"
    return '"' + "".join(_ESCAPED.get(letter, _hex(letter)) for letter in text) + '"'


def _hex(letter: str) -> str:
    return f"\\x{ord(letter):02x}" if letter < " " else letter


def character_class(ranges: Ranges) -> Piece:
    """A class of characters, in ascending order, so that no hex digit follows a letter that swallows it."""
    return Piece("[" + "".join(_span(low, high) for low, high in ranges) + "]") if ranges else NEVER


def _span(low: int, high: int) -> str:
    return _in_class(low) if low == high else f"{_in_class(low)}-{_in_class(high)}"


def _in_class(point: int) -> str:
    letter = chr(point)
    if letter in _CLASS_ESCAPED:
        return "\\" + letter
    if point < 0x20 or point == 0x7F:
        return f"\\x{point:02x}"
    return letter if letter.isprintable() and point < 0x10000 else f"\\U{point:08x}"


def sequence(*pieces: Piece) -> Piece:
    """One piece after another."""
    if NEVER in pieces:
        return NEVER
    told = [piece for piece in pieces if piece != EMPTY]
    if len(told) < 2:
        return told[0] if told else EMPTY
    return Piece(" ".join(each.text for each in told), lambda known: all(each.ends(known) for each in told))


def either(pieces: Iterable[Piece]) -> Piece:
    """One of the pieces that can be satisfied."""
    choices = list(dict.fromkeys(piece for piece in pieces if piece != NEVER))
    if len(choices) < 2:
        return choices[0] if choices else NEVER
    text = " | ".join(each.text for each in choices)
    return Piece(f"({text})", lambda known: any(each.ends(known) for each in choices))


def repeated(piece: Piece, least: int, most: int | None) -> Piece:
    """The piece so many times."""
    if piece == NEVER or most == 0:
        return NEVER if least else EMPTY
    if (least, most) == (1, 1):
        return piece
    times = "*" if (least, most) == (0, None) else f"{{{least},{'' if most is None else most}}}"
    return Piece(f"({piece.text}){times}", lambda known: not least or piece.ends(known))


class Rules:
    """The rules of one grammar, each under a name of its own, and each form written once."""

    def __init__(self) -> None:
        self._forms: dict[str, Piece] = {}
        self._names: dict[Piece, Piece] = {}
        self._bytes = 0

    def add(self, form: Piece, kind: str = "rule") -> Piece:
        """A rule for the form, as a piece, so that a grammar grows with its schema and no faster."""
        if form == NEVER:
            return NEVER
        if form not in self._names:
            self._names[form] = self.reserve(kind)
            self.define(self._names[form], form)
        return self._names[form]

    def reserve(self, kind: str = "rule") -> Piece:
        """A rule whose form is defined later: what lies between may refer to it."""
        name = f"{kind}{len(self._forms)}"
        self._forms[name] = NEVER
        return Piece(name, lambda known: name in known)

    def define(self, rule: Piece, form: Piece) -> None:
        """Give a reserved rule its form. Raises Glm4Error where the grammar has become too large."""
        self._forms[rule.text] = form
        self._bytes += len(rule.text) + len(form.text) + 6
        if self._bytes > _MOST_BYTES:
            raise Glm4Error("The schema's grammar is too large to guide by", "Make the schema simpler.")

    def finite(self, root: Piece) -> bool:
        """Whether some finite text satisfies the root."""
        known: set[str] = set()
        before = -1
        while len(known) > before:
            before = len(known)
            for name, form in self._forms.items():  # most rules come after those that they refer to
                if name not in known and form.ends(known):
                    known.add(name)
        return root.ends(known)

    def text(self, root: Piece) -> str:
        """The grammar, with the rule `root`. What no text satisfies is written as an endless rule."""
        forms = {**self._forms, "root": root}
        return "".join(f"{name} ::= {form.text or name}\n" for name, form in forms.items())
