"""Integers and numbers between bounds, as digits: exact at any size.

Digits stop where a double could round across a bound: a number has at most 15 that count.
"""

from collections.abc import Mapping
from fractions import Fraction
from math import ceil, floor
from typing import Any

from ...errors import Glm4Error
from .ebnf import EMPTY, NEVER, Piece, either, literal, repeated, sequence

_DIGITS = 15
_MOST_DIGITS = 400
_MOST_MULTIPLES = 2048
_ZERO, _DIGIT = Piece('"0"'), Piece("[0-9]")
_NATURAL = Piece('("0" | [1-9] [0-9]{0,15})')
_NUMBER = Piece('"-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?')
Bounds = tuple[Fraction | None, bool, Fraction | None, bool]
"""The lower bound and whether it is excluded, the upper one and whether it is."""


def integer(schema: Mapping[str, Any], where: str) -> Piece:
    """The integers of a schema's bounds and `multipleOf`."""
    low, low_out, high, high_out = bounds(schema)
    least = None if low is None else floor(low) + 1 if low_out else ceil(low)
    most = None if high is None else ceil(high) - 1 if high_out else floor(high)
    step = schema.get("multipleOf")
    if step is not None:
        return _multiples(exact(step), least, most, where)
    return _integers(least, most, where)


def number(schema: Mapping[str, Any], where: str) -> Piece:
    """The numbers of a schema's bounds; of a `multipleOf`, the integers that are."""
    if "multipleOf" in schema:
        return integer(schema, where)
    low, low_out, high, high_out = bounds(schema)
    if low is None and high is None:
        return _NUMBER
    far = 10 ** max(9, *(_length(each) + 1 for each in (low, high) if each is not None))
    _limit(Fraction(far), where)
    places = max(0, _DIGITS - max(_length(each) for each in (low, high, Fraction(far - 1)) if each is not None))
    if low is not None and high is not None:
        places = max(0, _DIGITS - max(_length(low), _length(high)))
    unit = 10**places
    least = (1 - far) * unit if low is None else floor(low * unit) + 1 if low_out else ceil(low * unit)
    most = (far - 1) * unit if high is None else ceil(high * unit) - 1 if high_out else floor(high * unit)
    positive, negative = _decimals(max(least, 0), most, places), _decimals(max(-most, 1), -least, places)
    return either([positive, sequence(Piece('"-"'), negative)])


def bounds(schema: Mapping[str, Any]) -> Bounds:
    """The nearer of each pair of bounds."""
    lows = [(exact(schema[key]), key[0] == "e") for key in ("minimum", "exclusiveMinimum") if key in schema]
    highs = [(-exact(schema[key]), key[0] == "e") for key in ("maximum", "exclusiveMaximum") if key in schema]
    low, high = max(lows, default=(None, False)), max(highs, default=(None, False))
    return low[0], low[1], None if high[0] is None else -high[0], high[1]


def exact(value: float) -> Fraction:
    """The decimal that is written, not the double that it becomes: rounding keeps their order."""
    return Fraction(str(value))


def _limit(value: Fraction, where: str) -> None:
    if abs(value) >= 10**_MOST_DIGITS:
        raise Glm4Error(f"{where} has bounds of more than {_MOST_DIGITS} digits", "Give smaller ones.")


def _length(value: Fraction) -> int:
    return len(str(abs(int(value))))


def _integers(least: int | None, most: int | None, where: str) -> Piece:
    if least is None and most is None:
        return sequence(Piece('"-"?'), _NATURAL)
    for each in (least, most):
        _limit(Fraction(each or 0), where)
    far = 10 ** max(16, *(_length(Fraction(each)) + 1 for each in (least, most) if each is not None))
    least, most = -far + 1 if least is None else least, far - 1 if most is None else most
    positive = _naturals(max(least, 0), most)
    negative = _naturals(max(-most, 1), -least)
    return either([positive, sequence(Piece('"-"'), negative)])


def _naturals(least: int, most: int) -> Piece:
    """The integers from `least`, at least 0, to `most`, by their number of digits."""
    if most < least:
        return NEVER
    ways = []
    for length in range(len(str(least)), len(str(most)) + 1):
        low, high = max(least, 10 ** (length - 1) if length > 1 else 0), min(most, 10**length - 1)
        ways.append(_same_length(str(low), str(high)))
    return either(ways)


def _same_length(low: str, high: str) -> Piece:
    """Digits between two of the same length."""
    if not low:
        return EMPTY
    if set(low) == {"0"} and set(high) == {"9"}:
        return repeated(_DIGIT, len(low), len(low))
    if low[0] == high[0]:
        return sequence(literal(low[0]), _same_length(low[1:], high[1:])) if low[1:] else literal(low[0])
    ways, rest = [], len(low) - 1
    first, last = int(low[0]), int(high[0])
    if low[1:].strip("0"):
        ways.append(sequence(literal(low[0]), _same_length(low[1:], "9" * rest)))
        first += 1
    if high[1:].strip("9"):
        ways.append(sequence(literal(high[0]), _same_length("0" * rest, high[1:])))
        last -= 1
    if first <= last:
        ways.append(sequence(_span(first, last), repeated(_DIGIT, rest, rest)) if rest else _span(first, last))
    return either(ways)


def _span(first: int, last: int) -> Piece:
    return Piece(f"[{first}-{last}]") if first < last else literal(str(first)) if first == last else NEVER


def _multiples(step: Fraction, least: int | None, most: int | None, where: str) -> Piece:
    if step.denominator != 1:
        if step.numerator == 1 and step.denominator & (step.denominator - 1) == 0:
            return _integers(least, most, where)  # every integer is a multiple, and a double divides it exactly
        raise Glm4Error(f"{where}.multipleOf can't be guided but for integers", "Leave it out, and check the reply.")
    every = int(step)
    if least is not None and most is not None and (most - least) // every < _MOST_MULTIPLES:
        return either(literal(str(each)) for each in range(-(-least // every) * every, most + 1, every))
    zeros = len(str(every)) - 1
    if every == 10**zeros and (least is None or least <= 0) and (most is None or most >= 0):
        tens = _naturals(1, 10**15 - 1 if most is None else most // every)
        return either([_ZERO, sequence(tens, literal("0" * zeros))])
    first = max(least or 0, 0)
    last = first + _MOST_MULTIPLES * every if most is None else most
    if (last - first) // every > _MOST_MULTIPLES:
        last = first + _MOST_MULTIPLES * every
    return either(literal(str(each)) for each in range(-(-first // every) * every, last + 1, every))


def _decimals(least: int, most: int, places: int) -> Piece:
    """The decimals from `least` to `most`, at least 0, both counted in units of the last place."""
    if most < least:
        return NEVER
    (low, low_rest), (high, high_rest) = divmod(least, 10**places), divmod(most, 10**places)
    start, end = (str(each).zfill(places).rstrip("0") if each else "" for each in (low_rest, high_rest))
    if low == high:
        return sequence(literal(str(low)), _point(_between(start, end, places), not start))
    return either(
        [
            sequence(literal(str(low)), _point(_from(start, places), not start)),
            sequence(_naturals(low + 1, high - 1), _point(_from("", places), True)),
            sequence(literal(str(high)), _point(_to(end, places), True)),
        ]
    )


def _point(digits: Piece, may_end: bool) -> Piece:
    fraction = sequence(Piece('"."'), digits)
    return either([EMPTY, fraction]) if may_end else fraction


def _from(digits: str, room: int) -> Piece:
    """Digits behind the point, at least one, not below the given ones."""
    if not digits:
        return repeated(_DIGIT, 1, room) if room else NEVER
    above = sequence(_span(int(digits[0]) + 1, 9), repeated(_DIGIT, 0, room - 1))
    after = _from(digits[1:], room - 1)
    return either([above, sequence(literal(digits[0]), after if digits[1:] else either([EMPTY, after]))])


def _to(digits: str, room: int) -> Piece:
    """Digits behind the point, at least one, not above the given ones."""
    if not digits:
        return _ZERO if room else NEVER
    below = sequence(_span(0, int(digits[0]) - 1), repeated(_DIGIT, 0, room - 1))
    return either([below, sequence(literal(digits[0]), either([EMPTY, _to(digits[1:], room - 1)]))])


def _between(start: str, end: str, room: int) -> Piece:
    """Digits behind the point, at least one, neither below the first nor above the second."""
    if not start or not end:
        return NEVER if start else _to(end, room)
    first, last = int(start[0]), int(end[0])
    if first == last:
        after = _between(start[1:], end[1:], room - 1)
        return sequence(literal(start[0]), after if start[1:] else either([EMPTY, after]))
    after = _from(start[1:], room - 1)
    return either(
        [
            sequence(_span(first + 1, last - 1), repeated(_DIGIT, 0, room - 1)),
            sequence(literal(start[0]), after if start[1:] else either([EMPTY, after])),
            sequence(literal(end[0]), either([EMPTY, _to(end[1:], room - 1)])),
        ]
    )
