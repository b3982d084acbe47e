"""Regular expressions of JSON schemas (a subset of ECMA 262 that Python shares) as automata over code points.

A pattern may match anywhere in a string unless it is anchored (JSON schema, validation, 6.3.3).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from re import _constants as op  # type: ignore[attr-defined]
from typing import Any

from ...errors import Glm4Error
from .automata import ANY, LAST, MOST_STATES, Automaton, both, common, complement, limit_states, negated, union
from .ebnf import Ranges
from .spelling import BEGINNING, Expression, Nodes, parsed

_DIGITS: Ranges = ((0x30, 0x39),)
_WORD: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_SPACE: Ranges = ((0x09, 0x0D), (0x20, 0x20))
_SPACE_OR_SEPARATOR: Ranges = ((0x09, 0x0D), (0x1C, 0x20))
_MOST_TIMES = 1000
_END = (op.AT, op.AT_END)

_CATEGORIES = {
    op.CATEGORY_DIGIT: _DIGITS, op.CATEGORY_NOT_DIGIT: complement(_DIGITS),
    op.CATEGORY_WORD: _WORD, op.CATEGORY_NOT_WORD: complement(_WORD),
    op.CATEGORY_SPACE: _SPACE, op.CATEGORY_NOT_SPACE: complement(_SPACE_OR_SEPARATOR),
}  # fmt: skip
# Where ECMA 262 and Python disagree about a negated class (\W and é, \S and U+00A0), what both mean is what is written.
_OUTSIDE_ASCII: Ranges = ((0x80, LAST),)

STANDING = range(0x10FF00, 0x10FFFE)
"""Code points of private use, each of which stands for a run in an automaton, and for nothing else there."""
_WITHOUT_STANDING = common(ANY, complement(((STANDING.start, STANDING.stop - 1),)))
_IN_RUNS = complement(((0, 0), (0x3C, 0x3C), (0x7C, 0x7C), (0xD800, 0xDFFF)))
_MOST_STEPS, _LONGEST = 24, 8000
"""Repetitions that are steps of an automaton, beyond which a run is one step; and what a run may have to have."""
_ONE = (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN)
"""Nodes that take one character."""


@dataclass(frozen=True)
class Run:
    """A character of a class so many times."""

    ranges: Ranges
    least: int
    most: int


class _Nfa:
    """Thompson's construction, state by state."""

    def __init__(self, where: str, runs: "list[Run] | None" = None, most: int | None = None) -> None:
        self.where, self._runs, self._most = where, runs, most
        self.empty: list[list[int]] = []
        self.moves: list[list[tuple[Ranges, int]]] = []

    def state(self) -> int:
        if len(self.empty) > 20 * MOST_STATES:
            raise Glm4Error(f"{self.where} is too large to guide by", "Make the pattern simpler.")
        self.empty.append([])
        self.moves.append([])
        return len(self.empty) - 1

    def add(self, nodes: Iterable[tuple[Any, Any]], start: int) -> int:
        """Append the nodes of a parsed pattern after a state; the state after them."""
        for kind, value in nodes:
            start = self._node(kind, value, start)
        return start

    def _node(self, kind: Any, value: Any, start: int) -> int:
        if kind is op.SUBPATTERN:
            _, add_flags, del_flags, inner = value
            if add_flags or del_flags:
                self._refuse("flags")
            return self.add(inner, start)
        if kind is op.BRANCH:
            end = self.state()
            for branch in value[1]:
                self.empty[self.add(branch, start)].append(end)
            return end
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT):
            return self._repeat(value, start)
        return self._move(_characters(kind, value, self), start)

    def _repeat(self, value: tuple[int, Any, Any], start: int) -> int:
        least, most, inner = value
        endless = most is op.MAXREPEAT
        long = (least if endless else most) > _MOST_STEPS and least <= _LONGEST
        if self._runs is not None and long and (ranges := self._one(inner)):
            start = self._run(Run(ranges, least, least if endless else most), start)
            return self._repeat((0, most, inner), start) if endless else start
        if self._most is not None and not endless:
            most = min(most, least + self._most)
        if least > _MOST_TIMES or (not endless and most > _MOST_TIMES + least):
            self._refuse(f"more than {_MOST_TIMES} repetitions")
        for _ in range(least):
            start = self.add(inner, start)
        if endless:
            loop = self.state()
            self.empty[start].append(loop)
            self.empty[self.add(inner, loop)].append(loop)
            return loop
        end = self.state()
        for _ in range(most - least):
            self.empty[start].append(end)
            start = self.add(inner, start)
        self.empty[start].append(end)
        return end

    def _one(self, inner: Any) -> Ranges:
        """The characters of a run, but for those of `<|`, which could then arise where it meets others."""
        if len(inner) != 1 or inner[0][0] not in _ONE:
            return ()
        kind, value = inner[0]
        return common(_characters(kind, value, self), _IN_RUNS)

    def _run(self, run: "Run", start: int) -> int:
        """A run as one step, by a code point that stands for it."""
        assert self._runs is not None
        if run not in self._runs:
            self._runs.append(run)
        if len(self._runs) > len(STANDING):
            self._refuse(f"more than {len(STANDING)} long repetitions")
        end, point = self.state(), STANDING[self._runs.index(run)]
        self.moves[start].append((((point, point),), end))
        return end

    def _move(self, ranges: Ranges, start: int) -> int:
        end = self.state()
        taken = ANY if self._runs is None else _WITHOUT_STANDING
        self.moves[start].append((common(ranges, taken), end))
        return end

    def _refuse(self, what: Any) -> Any:
        raise Glm4Error(f"{self.where} has {what} in it, which can't be guided", "Use a simpler pattern.")

    def closure(self, states: Iterable[int]) -> frozenset[int]:
        reached, waiting = set(states), list(states)
        while waiting:
            for state in self.empty[waiting.pop()]:
                if state not in reached:
                    reached.add(state)
                    waiting.append(state)
        return frozenset(reached)


def _characters(kind: Any, value: Any, nfa: _Nfa) -> Ranges:
    """The characters of a node that takes one."""
    if kind is op.LITERAL:
        return ((value, value),)
    if kind is op.NOT_LITERAL:
        return complement(((value, value),))
    if kind is op.ANY:  # ECMA's dot leaves out two more line ends than Python's
        return complement(((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029)))
    if kind is op.IN:
        negated = value[0][0] is op.NEGATE
        parts = [_class_part(part, each, nfa, negated) for part, each in value if part is not op.NEGATE]
        return complement(union(*parts)) if negated else union(*parts)
    nfa._refuse(str(kind).lower().replace("_", " "))
    return ()


def _class_part(kind: Any, value: Any, nfa: _Nfa, negated: bool) -> Ranges:
    if kind is op.LITERAL:
        return ((value, value),)
    if kind is op.RANGE:
        return (tuple(value),)
    if kind is not op.CATEGORY:
        nfa._refuse(str(kind).lower())
    ranges = _CATEGORIES[value]
    wide = value in (op.CATEGORY_NOT_DIGIT, op.CATEGORY_NOT_WORD, op.CATEGORY_NOT_SPACE)
    if wide and not negated:
        return common(ranges, complement(_OUTSIDE_ASCII))
    return union(ranges, _OUTSIDE_ASCII) if negated and not wide else ranges


def pattern_automaton(pattern: str, where: str) -> Automaton:
    """The strings that a pattern matches somewhere. Raises Glm4Error for what can't be translated."""
    expression = parsed(pattern, where)
    found = _deterministic(_searching(_branches(expression.nodes), _Nfa(where)), where)
    return _after(expression, found, where)


def whole_automaton(pattern: str, where: str, runs: list[Run], most: int = _MOST_TIMES) -> Automaton:
    """The strings that a pattern matches from their beginning to their end.

    A long run of a class is one character of `STANDING`, by its place in `runs`, to which it is added. What else may
    be repeated more often than must be is repeated `most` times more at most, or without an end. Raises Glm4Error for
    what can't be translated.
    """
    expression = parsed(pattern, where, whole=True)
    branches = [_within(each) for each in _branches(expression.nodes)]
    nfa = _Nfa(where, None if expression.ahead else runs, most)
    return _after(expression, _deterministic(_searching(branches, nfa), where), where)


def _after(expression: Expression, found: Automaton, where: str) -> Automaton:
    """Those of the strings that an expression's look-aheads allow."""
    for wanted, inner in expression.ahead:
        branches = [[BEGINNING, *each] for each in _branches(inner)]
        other = _deterministic(_searching(branches, _Nfa(where)), where)
        found = both(found, other if wanted else negated(other), where)
    return found


def _within(nodes: Nodes) -> Nodes:
    """An alternative between anchors, whether it has any of its own or not."""
    inner = nodes[nodes[:1] == [BEGINNING] :]
    return [BEGINNING, *(inner[:-1] if inner[-1:] == [_END] else inner), _END]


def _searching(branches: list[Nodes], nfa: _Nfa) -> tuple[_Nfa, int, set[int]]:
    start, ends = nfa.state(), set()
    for branch in branches:
        ends.add(_anchored(nfa, branch, start))
    return nfa, start, ends


def _branches(nodes: Nodes) -> list[Nodes]:
    """A pattern's alternatives, also those that begin alike or end inside of a group."""
    if not nodes:
        return [nodes]
    *before, (kind, value) = nodes
    if kind is op.BRANCH:
        return [each for branch in value[1] for each in _branches([*before, *branch])]
    if kind is op.SUBPATTERN and not any(value[1:3]):
        return _branches([*before, *value[3]])
    return [nodes]


def _anchored(nfa: _Nfa, nodes: Nodes, start: int) -> int:
    """Append an alternative that may match anywhere but for its anchors; the state after it."""
    begins = bool(nodes) and nodes[0] == BEGINNING
    ends = bool(nodes) and nodes[-1] == _END
    inner = nodes[begins : len(nodes) - ends if len(nodes) > begins else None]
    any_text = [(op.MAX_REPEAT, (0, op.MAXREPEAT, [(op.IN, [(op.RANGE, (0, LAST))])]))]
    own = nfa.state()
    nfa.empty[start].append(own)
    state = own if begins else nfa.add(any_text, own)
    state = nfa.add(inner, state)
    return state if ends else nfa.add(any_text, state)


def _deterministic(source: tuple[_Nfa, int, set[int]], where: str) -> Automaton:
    """The subset construction."""
    nfa, start, ends = source
    first = nfa.closure([start])
    numbers, waiting, result = {first: 0}, [first], Automaton()
    while waiting:
        states = waiting.pop(0)
        result.final.append(bool(states & ends))
        edges: dict[int, Ranges] = {}
        for ranges, targets in _split([move for state in states for move in nfa.moves[state]]):
            reached = nfa.closure(targets)
            if reached not in numbers:
                numbers[reached] = len(numbers)
                waiting.append(reached)
            edges[numbers[reached]] = union(edges.get(numbers[reached], ()), ranges)
        result.edges.append([(ranges, to) for to, ranges in edges.items()])
        limit_states(len(numbers), where)
    return result


def _split(moves: Sequence[tuple[Ranges, int]]) -> Iterable[tuple[Ranges, set[int]]]:
    """The moves by the characters that share their targets."""
    starts = sorted({point for ranges, _ in moves for low, high in ranges for point in (low, high + 1)})
    for low, after in zip(starts, starts[1:], strict=False):
        targets = {to for ranges, to in moves if any(first <= low <= last for first, last in ranges)}
        if targets:
            yield ((low, after - 1),), targets
