"""Strings of a length, a pattern or a format, as the schemas of pydantic and zod have them."""

import json
import re
from typing import Any

import pytest

from conftest import ask
from glm4_intel import Glm4Error, Runtime
from glm4_intel.chat.json_grammar import json_grammar
from glm4_intel.chat.json_grammar.patterns import pattern_automaton
from glm4_intel.chat.json_grammar.strings import _CHARACTER

ZOD_EMAIL = r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"
_PART = r"\((state\d+)\)\{(\d+),(\d+)\}|\b(state\d+|string\d+|rule\d+|c)\b"


def possible_lengths(schema: dict[str, Any]) -> set[int]:
    """The lengths of the strings that a schema's grammar lets through: its rules count characters one by one."""
    lines = json_grammar({"type": "string", **schema}, "S").replace(_CHARACTER.text, "c").splitlines()
    rules = dict(line.split(" ::= ", 1) for line in lines)
    known = {"c": {1}}

    def lengths(name: str) -> set[int]:
        if name not in known:
            known[name] = {count for way in rules[name].split(" | ") for count in of_sequence(way)}
        return known[name]

    def of_sequence(way: str) -> set[int]:
        found = {0}
        for counted, least, most, once in re.findall(_PART, way):
            for_each = [{0}]
            for _ in range(int(most or 1)):
                for_each.append({one + more for one in for_each[-1] for more in lengths(counted or once)})
            parts = set().union(*for_each[int(least or 1) :])
            found = {start + each for start in found for each in parts}
        return found

    return lengths("root")


@pytest.mark.parametrize(
    ("least", "most", "longest"),
    [(0, 1, 1), (0, 40, 40), (3, 128, 128), (0, 129, 129), (0, 200, 200), (0, 575, 575), (0, 1000, 1000),
     (200, 1000, 1000), (500, 500, 500), (130, 131, 131), (90, 99, 99), (0, 97, 97)],
)  # fmt: skip
def test_every_length_within_the_limits_can_be_written(least: int, most: int, longest: int) -> None:
    assert possible_lengths({"minLength": least, "maxLength": most}) == set(range(least, longest + 1))


def states(schema: dict[str, Any]) -> int:
    """The rules of a grammar that count characters."""
    return len(re.findall(r"^state\d+ ::=", json_grammar(schema, "S"), re.MULTILINE))


def test_many_limited_strings_share_their_rules() -> None:
    """The engine computes a mask over the vocabulary for each rule."""
    named = {f"f{limit}": {"type": "string", "maxLength": limit} for limit in range(20, 97, 4)}
    assert states({"type": "object", "properties": named}) == 96


@pytest.mark.parametrize(("least", "most"), [(0, 97), (0, 300), (200, 1000), (96, 1000), (5000, 9999)])
def test_a_long_string_needs_no_more_counts_than_a_short_one(least: int, most: int) -> None:
    """Each count costs the first token 20 ms with GLM-4's vocabulary."""
    assert states({"type": "string", "minLength": least, "maxLength": most}) <= 96


def test_a_limited_string_may_hold_every_character() -> None:
    written_form = _CHARACTER.text
    for written in (r'"\\n"', r'"\\\""', r'"\\u007c"'):
        assert written in written_form


@pytest.mark.parametrize(
    ("pattern", "right", "wrong"),
    [
        (ZOD_EMAIL, ("a.b@c.de", "a+b@c-d.org"), (".a@b.de", "a..b@c.de", "a@b")),
        (r"^(?=.*[A-Z])(?=.*\d)[A-Za-z\d]{8,}$", ("Abcdefg1", "1234567A"), ("abcdefg1", "Abcdefgh", "Ab1")),
        ("^(?!con$|aux$)[a-z]+$", ("cons", "a"), ("con", "aux")),
        ("^(?!)a", (), ("a",)),
    ],
)
def test_look_aheads_after_the_beginning(pattern: str, right: tuple[str, ...], wrong: tuple[str, ...]) -> None:
    automaton = pattern_automaton(pattern, "S")
    assert all(automaton.matches(text) and re.search(pattern, text) for text in right)
    assert not any(automaton.matches(text) or re.search(pattern, text) for text in wrong)


@pytest.mark.parametrize("pattern", ["a(?!b)", "(?<=a)b", "^((?!a).)*$", "(?!a)b|c", "(?P<n>a)", "^(?=a(?=b))a"])
def test_look_arounds_elsewhere_are_refused(pattern: str) -> None:
    with pytest.raises(Glm4Error, match="can't be guided"):
        pattern_automaton(pattern, "S")


URL = r"https?://[a-z0-9.-]+\.[a-z]+(/[A-Za-z0-9._~-]*)*(\?[A-Za-z0-9._~=&-]*)?(#.*)?"


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"format": "uri", "minLength": 1, "maxLength": 2083}, URL),  # pydantic's HttpUrl
        ({"format": "uri", "minLength": 1}, URL),
        ({"format": "uri", "maxLength": 70}, URL),
        ({"format": "uri", "maxLength": 20}, URL),
        ({"format": "email", "maxLength": 255}, r"[A-Za-z0-9_+.-]+@[a-z0-9.-]+"),
        ({"format": "email", "maxLength": 20}, r"[A-Za-z0-9_+.-]+@[a-z0-9.-]+"),
        ({"format": "email", "pattern": ZOD_EMAIL}, r"[A-Za-z0-9_'+.-]+@[A-Za-z0-9.-]+"),
        ({"pattern": "^[^<>]*$", "maxLength": 3000}, r"[^<>]*"),
    ],
)
def test_formats_and_patterns_with_a_length_are_held(glm: Runtime, schema: dict[str, Any], text: str) -> None:
    shape = {"type": "json_schema", "json_schema": {"schema": {"type": "string", **schema}}}
    options = {"temperature": 50.0, "top_p": 1.0, "max_new_tokens": 400}
    for seed in range(4):
        reply = glm.generate(ask("Hello"), response_format=shape, seed=seed, **options)
        if reply.finish_reason == "stop":
            value = json.loads(reply.text)
            assert re.fullmatch(text, value, re.DOTALL), value
            assert schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**9)


def test_a_time_names_the_patterns_that_checkers_agree_about() -> None:
    with pytest.raises(Glm4Error, match="format 'time' can't be guided") as told:
        json_grammar({"type": "string", "format": "time"}, "S")
    (pattern,) = re.findall(r'"pattern": "(.*?)"', told.value.hint)
    assert pattern_automaton(pattern, "S").matches("23:59:59") and not pattern_automaton(pattern, "S").matches(
        "24:00:00"
    )
