"""Strings: of any content, of a length, or of a pattern's automaton.

A string lies in one rule as far as can be: of a rule that a token leaves, the engine must try every token at each step.
Nowhere is `<|` written, which begins the special tokens that end a part of a reply: `<\\u007c` means the same.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ...errors import Glm4Error
from .automata import ANY, Automaton, both, common, complement, extent, lengths, useful
from .ebnf import EMPTY, NEVER, Piece, Ranges, Rules, character_class, either, literal, repeated, sequence
from .formats import format_pattern
from .patterns import pattern_automaton

_QUOTE = Piece('"\\""')
_BEYOND_ASCII = (
    r"\u0080-\u07ff\u0800-\u0fff\u1000-\ucfff\ud000-\ud7ff\ue000-\uffff"
    r"\U00010000-\U0003ffff\U00040000-\U000fffff\U00100000-\U0010ffff"
)
"""Spelled out, and cut where the first byte in UTF-8 changes its meaning: a class of all but some characters lets the
engine write halves of surrogate pairs, and a range across such a place broken bytes."""
_PLAIN = Piece(rf"[\x20-!#-;=-\[\]-~{_BEYOND_ASCII}]")
_ESCAPE = r'"\\" (["\\/bfnrt] | "u00" [01] [0-9a-f])'
_AFTER_LESS = r'"<"+ ([\x20-!#-;=-\[\]-{}~' + _BEYOND_ASCII + r"] | " + _ESCAPE + r' | "\\u007c")'
_MARKED = rf"({_ESCAPE} | {_AFTER_LESS})"
_ANY_STRING = Piece(rf'"\"" {_PLAIN.text}* ({_MARKED} {_PLAIN.text}*)* "<"* "\""')
_EXACT, _CHUNK, _MOST_CHUNKS = 96, 48, 170
"""Characters that are counted one by one; in longer strings, how many are counted at a time, and how often at most:
beyond, strings end early. Each count costs the first token 20 ms, and the end of each chunk costs the tokens near it a
few, so that 95 counts are enough for any length."""
_SHORTENED = 16
"""Characters that a pattern's strings may have at least where there are too many states for as many as are allowed."""
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
_ASIDE: Ranges = ((0x00, 0x1F), (0x22, 0x22), (0x5C, 0x5C), (0x7C, 0x7C), (0x7F, 0x7F))
"""What an automaton's string writes as an escape."""


def string(schema: Mapping[str, Any], rules: Rules, where: str) -> Piece:
    """The strings of a schema's `lengths`, `pattern`s and `format`s. Raises Glm4Error for what can't be guided."""
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    automata = string_automata(schema, where)
    if not automata:
        return rules.add(_counted(least, most, rules), "string")
    whole = automata[0]
    for each in automata[1:]:
        whole = both(whole, each, where)
    return automaton_string(_of_length(whole, least, most, where), rules)


def _of_length(whole: Automaton, least: int, most: int | None, where: str) -> Automaton:
    """The strings of an automaton that are so long; of a wide range, the shorter ones, which need fewer states."""
    shortest, longest = extent(whole)
    if least <= shortest and (most is None or most >= 10**4 or (longest is not None and longest <= most)):
        return whole
    try:
        return both(whole, lengths(least, most, where), where)
    except Glm4Error:
        if most is None or most // 2 < max(least, shortest, _SHORTENED):
            raise
    return _of_length(whole, least, most // 2, where)


def string_automata(schema: Mapping[str, Any], where: str) -> list[Automaton]:
    """One automaton for each pattern and format."""
    patterns = [(pattern, f"{where}.pattern") for pattern in schema.get("pattern", ())]
    for name in schema.get("format", ()):
        pattern = format_pattern(name, where, schema.get("maxLength"))
        patterns += [(f"^({pattern})$", f"{where}.format")] if pattern else []
    return [pattern_automaton(pattern, place) for pattern, place in patterns]


def automaton_string(source: Automaton, rules: Rules) -> Piece:
    """The JSON strings whose content an automaton accepts."""
    content = automaton_text(source, rules, _content, _QUOTE)
    return content if content == NEVER else rules.add(sequence(_QUOTE, content), "string")


def automaton_text(source: Automaton, rules: Rules, content: Callable[[Ranges], Piece], end: Piece) -> Piece:
    """The texts that an automaton accepts, each character written by `content`: a rule for each state."""
    automaton = useful(source)
    if automaton is None:
        return NEVER
    states = [rules.reserve("state") for _ in automaton.edges]
    for state, edges in enumerate(automaton.edges):
        loops = [content(ranges) for ranges, to in edges if to == state]
        ways = [sequence(content(ranges), states[to]) for ranges, to in edges if to != state]
        ways += [end] if automaton.final[state] else []
        rules.define(states[state], sequence(repeated(either(loops), 0, None) if loops else EMPTY, either(ways)))
    return states[0]


def _content(ranges: Ranges) -> Piece:
    """One character of the ranges, as JSON writes it."""
    aside = [chr(point) for low, high in common(ranges, _ASIDE) for point in range(low, high + 1)]
    plain = character_class(common(ranges, complement(_ASIDE)))
    return either([plain, *(literal(_ESCAPES.get(letter, f"\\u{ord(letter):04x}")) for letter in aside)])


_CHARACTER = _content(ANY)


def _counted(least: int, most: int | None, rules: Rules) -> Piece:
    """Strings by their length. Each count is a rule that all strings share, so that its mask is computed once."""
    if not least and most is None:
        return _ANY_STRING
    if most is not None and most < least:
        return NEVER
    if least > _CHUNK * _MOST_CHUNKS:
        raise Glm4Error(f"A string of at least {least} characters can't be guided", "Ask for fewer.")
    if most is not None:
        return sequence(_QUOTE, counted(_CHARACTER, least, most, _QUOTE, rules))
    rest = rules.add(Piece(_ANY_STRING.text.removeprefix('"\\"" ')), "rest")
    if least <= _EXACT:
        return sequence(_QUOTE, _exactly(_CHARACTER, least, rest, rules))
    chunks, first = divmod(least, _CHUNK)
    return sequence(_QUOTE, _chunks(_CHARACTER, chunks, chunks, rules), _exactly(_CHARACTER, first, EMPTY, rules), rest)


def counted(character: Piece, least: int, most: int, end: Piece, rules: Rules) -> Piece:
    """So many of a character, and the end. Of very many, fewer are let through."""
    rest = _up_to(character, most - least, most > _EXACT, end, rules)
    if most <= _EXACT:
        return _exactly(character, least, rest, rules)
    chunks, first = divmod(least, _CHUNK)
    before = _chunks(character, chunks, chunks, rules)
    return sequence(before, _exactly(character, first, EMPTY, rules), rest)


def _up_to(character: Piece, count: int, by_chunks: bool, end: Piece, rules: Rules) -> Piece:
    """So many characters at most, and the end. What chunks leave over shares the rules of a chunk's end."""
    chunks, left = divmod(count - _CHUNK + 1, _CHUNK) if by_chunks and count >= _CHUNK else (0, 0)
    rest = end
    for _ in range(_CHUNK - 1 if chunks or left else count):
        rest = rules.add(either([sequence(character, rest), end]), "state")
    more = repeated(_exactly(character, left, EMPTY, rules), 0, 1) if left else EMPTY
    return sequence(_chunks(character, 0, min(chunks, _MOST_CHUNKS), rules), more, rest)


def _chunks(character: Piece, least: int, most: int, rules: Rules) -> Piece:
    return repeated(_exactly(character, _CHUNK, EMPTY, rules), least, most) if most else EMPTY


def _exactly(character: Piece, count: int, rest: Piece, rules: Rules) -> Piece:
    """So many characters, and what comes after them."""
    for _ in range(count):
        rest = rules.add(sequence(character, rest), "state")
    return rest
