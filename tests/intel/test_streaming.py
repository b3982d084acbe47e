"""Ids to text: whole characters only, and no part of a stop text."""

from hypothesis import given
from hypothesis import strategies as st

from glm4_demos.nano import CHECKPOINT
from glm4_intel.prompt import Prompt
from glm4_intel.streaming import StopTexts, TextStream

PROMPT = Prompt.from_directory(CHECKPOINT)


@given(st.text())
def test_pieces_are_whole_characters_and_add_up(text: str) -> None:
    encodable = text.encode("utf-8", "ignore").decode()
    stream = TextStream(PROMPT.token_bytes)
    pieces = [stream.feed([id]) for id in PROMPT.encode_text(encodable)]
    assert "".join(pieces) == encodable and stream.close() == ""


def test_a_character_cut_short_becomes_the_replacement_character() -> None:
    stream = TextStream(PROMPT.token_bytes)
    ids = PROMPT.encode_text("👋")
    assert len(ids) > 1
    assert [stream.feed([id]) for id in ids[:-1]] == [""] * (len(ids) - 1)
    assert stream.close() == "\ufffd"


@given(st.text("ab", max_size=40), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3), st.integers(1, 5))
def test_stop_texts_cut_at_the_first_wherever_the_text_is_cut(text: str, stops: list[str], size: int) -> None:
    stream = StopTexts(stops)
    shown = "".join(stream.feed(text[start : start + size]) for start in range(0, len(text), size)) + stream.close()
    found = [text.find(stop) for stop in stops if stop in text]
    assert stream.found == bool(found)
    if not found:
        assert shown == text
    elif size == 1:  # one character at a time, the stop that ends first is met first
        assert text.startswith(shown) and not any(stop in shown for stop in stops)
    else:
        assert text.startswith(shown)
