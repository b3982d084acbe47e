r"""Regular expressions as people write them, in the spelling that Python's parser reads: ECMA 262's escapes, names.

What the two languages read differently is refused, so that no checker can disagree with what is held to.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, NoReturn

from ...errors import Glm4Error

_TOKEN = re.compile(
    r"\\c[A-Za-z]|\\u\{[0-9A-Fa-f]{1,8}\}|\\.|\(\?P?<[A-Za-z_]\w*>|\(\?.?|(\[\^?(?:\\.|[^\]\\])*\])|.", re.DOTALL
)
_NAME = re.compile(r"\(\?P?<\w+>")
_REFUSED = re.compile(r"\\[pPkAzZ]|\(\?(?![:=!]$)|\[\^?\]$")
"""Unicode classes, names that are referred to, other anchors, look-behinds and flags; a class of nothing, whose
bracket is a member of it to Python."""


BEGINNING = (op.AT, op.AT_BEGINNING)
_MEMBER = re.compile(r"\\c[A-Za-z]|\\u\{[0-9A-Fa-f]{1,8}\}|\\.|.", re.DOTALL)
_ESCAPES: dict[str, Callable[[str], str]] = {
    "\\c": lambda token: f"\\x{ord(token[2]) % 32:02x}",
    "\\u": lambda token: f"\\U{int(token[3:-1], 16):08x}",
}
Nodes = list[tuple[Any, Any]]


@dataclass(frozen=True)
class Expression:
    """A regular expression, as the nodes of Python's parser."""

    nodes: Nodes
    ahead: tuple[tuple[bool, Nodes], ...]
    """The look-aheads at its beginning: whether each must match, and what."""


def parsed(pattern: str, where: str, whole: bool = False) -> Expression:
    """A pattern that is searched for, or that the `whole` text matches; the latter may name its groups.

    Raises Glm4Error for what is no regular expression or can't be translated.
    """
    tokens = list(_TOKEN.finditer(pattern))
    if not whole and any(_NAME.match(each[0]) for each in tokens):  # ECMA and Python spell them otherwise
        _refuse(pattern, where)
    spelled = "".join((_class if each[1] else _token)(each[0], pattern, where) for each in tokens)
    try:
        expression = _split(list(parser.parse(spelled)), whole)
    except (re.error, RecursionError, OverflowError) as error:
        hint = "Check its brackets and its repetitions."
        raise Glm4Error(f"{where} {pattern[:60]!r} is no regular expression: {error}", hint) from error
    if "\0" in pattern or sum(each[0] in ("(?=", "(?!") for each in tokens) > len(expression.ahead):
        _refuse(pattern, where)
    return expression


def _split(nodes: Nodes, whole: bool) -> Expression:
    """A pattern without the look-aheads that stand at the beginning of its text, and those."""
    first = 1 if nodes[:1] == [BEGINNING] else 0
    after = first
    while (whole or first) and after < len(nodes) and nodes[after][0] in (op.ASSERT, op.ASSERT_NOT):
        after += 1
    ahead = tuple((kind is op.ASSERT, list(inner)) for kind, (_, inner) in nodes[first:after])
    return Expression(nodes[:first] + nodes[after:], ahead)


def _token(token: str, pattern: str, where: str) -> str:
    if _NAME.fullmatch(token):
        return "("
    if _REFUSED.match(token):
        _refuse(pattern, where)
    return _ESCAPES[token[:2]](token) if len(token) > 2 and token[:2] in _ESCAPES else token


def _class(token: str, pattern: str, where: str) -> str:
    r"""A class of characters; a bracket in it is one of them, and `&&`, `||` and `~~` are just what they are."""
    head, inner = ("[^", token[2:-1]) if token.startswith("[^") else ("[", token[1:-1])
    if not inner:
        _refuse(pattern, where)
    members = (_token(each[0], pattern, where) for each in _MEMBER.finditer(inner))
    return head + "".join(f"\\{each}" if each in "[&|~" else each for each in members) + "]"


def _refuse(pattern: str, where: str) -> NoReturn:
    hint = "Leave out look-behinds, flags and Unicode classes, and look-aheads but after its ^."
    raise Glm4Error(f"{where} {pattern[:60]!r} can't be guided", hint)
