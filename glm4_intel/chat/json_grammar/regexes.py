"""A regular expression that a whole reply matches, as a grammar: what can't be written is refused before anything runs.

The engine's own parser reads another dialect, fails in the middle of a step, and ends the process at a NUL.
"""

from ...errors import Glm4Error
from .automata import ANY, Automaton, both, common, complement
from .ebnf import EMPTY, NEVER, Piece, Ranges, Rules, character_class, either
from .patterns import STANDING, Run, whole_automaton
from .strings import automaton_text, counted

_TIMES = (1000, 250, 60, 15)
"""How many times more than it must a part may be repeated, from the most to what surely is no burden to the engine."""
_MOST_LETTERS = 20_000
_LESS, _BAR = ((0x3C, 0x3C),), ((0x7C, 0x7C),)
_TEXT = common(ANY, complement(((0, 0),)))
_STANDING = ((STANDING.start, STANDING.stop - 1),)
_WITHOUT_TAGS = Automaton(
    [[(common(_TEXT, complement(_LESS)), 0), (_LESS, 1)],
     [(common(_TEXT, complement((*_LESS, *_BAR))), 0), (_LESS, 1)]],
    [True, True],
)  # fmt: skip
"""Texts without `<|`, which begins the special tokens that a reply is taken apart at."""


def regex_grammar(pattern: str, where: str) -> str:
    """The grammar of the texts that a pattern matches as a whole, anchored or not.

    Of repetitions so many that the engine would be kept busy for minutes, fewer are let through. Raises Glm4Error
    for what is no regular expression, can't be translated, or matches no text that a reply can hold.
    """
    if len(pattern) > _MOST_LETTERS:
        raise Glm4Error(f"{where} has more than {_MOST_LETTERS:,} characters", "Use a simpler expression.")
    rules, runs = Rules(), list[Run]()
    automaton = _small_enough(pattern, where, runs)
    root = automaton_text(automaton, rules, lambda ranges: _content(ranges, runs, rules), EMPTY)
    if root == NEVER:
        raise Glm4Error(f"{where} {pattern[:60]!r} matches no text that a reply can hold", "Try it on an example.")
    return rules.text(root)


def _small_enough(pattern: str, where: str, runs: list[Run]) -> Automaton:
    for times in _TIMES[:-1]:
        try:
            return both(whole_automaton(pattern, where, runs, times), _WITHOUT_TAGS, where)
        except Glm4Error:  # told by the last try, if it is not the size
            runs.clear()
    return both(whole_automaton(pattern, where, runs, _TIMES[-1]), _WITHOUT_TAGS, where)


def _content(ranges: Ranges, runs: list[Run], rules: Rules) -> Piece:
    """A character of the ranges, or a run that one of them stands for."""
    standing = [point for low, high in common(ranges, _STANDING) for point in range(low, high + 1)]
    long = [_run(runs[point - STANDING.start], rules) for point in standing if point - STANDING.start < len(runs)]
    return either([character_class(common(ranges, complement(_STANDING))), *long])


def _run(run: Run, rules: Rules) -> Piece:
    return rules.add(counted(character_class(run.ranges), run.least, run.most, EMPTY, rules), "run")
