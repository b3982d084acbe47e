"""Sets of code points, and deterministic automata over them."""

from dataclasses import dataclass, field

from ...errors import Glm4Error
from .ebnf import Ranges

LAST = 0x10FFFF
MOST_STATES = 600
_PRINTABLE: Ranges = ((0x20, 0x7E),)


def complement(ranges: Ranges) -> Ranges:
    """Every other code point."""
    gaps, start = [], 0
    for low, high in ranges:
        if start < low:
            gaps.append((start, low - 1))
        start = high + 1
    return tuple(gaps) + (((start, LAST),) if start <= LAST else ())


def union(*many: Ranges) -> Ranges:
    """The code points of any of them."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(each for ranges in many for each in ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def common(first: Ranges, second: Ranges) -> Ranges:
    """The code points of both."""
    return complement(union(complement(first), complement(second)))


ANY: Ranges = complement(((0xD800, 0xDFFF),))


@dataclass
class Automaton:
    """A deterministic automaton: by state, its edges and whether a string may end there. State 0 begins."""

    edges: list[list[tuple[Ranges, int]]] = field(default_factory=list)
    final: list[bool] = field(default_factory=list)

    def matches(self, text: str) -> bool:
        """Whether the whole text is accepted."""
        state = 0
        for letter in text:
            point = ord(letter)
            following = [to for ranges, to in self.edges[state] if any(low <= point <= high for low, high in ranges)]
            if not following:
                return False
            state = following[0]
        return self.final[state]


def both(first: Automaton, second: Automaton, where: str) -> Automaton:
    """The strings that both accept."""
    numbers, waiting, result = {(0, 0): 0}, [(0, 0)], Automaton()
    while waiting:
        one, other = waiting.pop(0)
        result.final.append(first.final[one] and second.final[other])
        edges = []
        for ranges, to in first.edges[one]:
            for others, goal in second.edges[other]:
                shared = common(ranges, others)
                if shared and (to, goal) not in numbers:
                    numbers[to, goal] = len(numbers)
                    waiting.append((to, goal))
                if shared:
                    edges.append((shared, numbers[to, goal]))
        result.edges.append(edges)
        limit_states(len(numbers), where)
    return result


def negated(source: Automaton) -> Automaton:
    """The strings of printable ASCII that it does not accept: of others, engines disagree what a pattern matches."""
    sink = len(source.edges)
    edges = [[(common(ranges, _PRINTABLE), to) for ranges, to in each] for each in source.edges]
    edges.append([(_PRINTABLE, sink)])
    for each in edges[:-1]:
        rest = common(complement(union(*(ranges for ranges, _ in each))), _PRINTABLE)
        each += [(rest, sink)] if rest else []
    return Automaton(edges, [not final for final in source.final] + [True])


def lengths(least: int, most: int | None, where: str) -> Automaton:
    """The strings of so many characters."""
    states = (least if most is None else most) + 1
    limit_states(states, where)
    edges = [[(ANY, state + 1)] for state in range(states - 1)] + [[(ANY, states - 1)] if most is None else []]
    return Automaton(edges, [state >= least for state in range(states)])


def useful(source: Automaton) -> Automaton | None:
    """Without the states that lead to no end; None where nothing is accepted."""
    alive = {state for state, final in enumerate(source.final) if final}
    while True:
        more = {s for s, edges in enumerate(source.edges) if s not in alive and any(to in alive for _, to in edges)}
        if not more:
            break
        alive |= more
    if 0 not in alive:
        return None
    return Automaton([[edge for edge in edges if edge[1] in alive] for edges in source.edges], source.final)


def extent(source: Automaton) -> tuple[int, int | None]:
    """The lengths of the shortest and of the longest string; None for a longest where there is none."""
    automaton = useful(source)
    if automaton is None:
        return 0, 0
    shortest, states, length = None, {0}, 0
    while states and length <= len(automaton.edges):
        if any(automaton.final[state] for state in states):
            shortest, longest = length if shortest is None else shortest, length
        states = {to for state in states for _, to in automaton.edges[state]}
        length += 1
    return shortest or 0, None if states else longest


def limit_states(states: int, where: str) -> None:
    """Raises Glm4Error for an automaton that would keep the engine busy for minutes."""
    if states > MOST_STATES:
        raise Glm4Error(f"{where} is too large to guide by", "Make the pattern simpler, or its lengths smaller.")
