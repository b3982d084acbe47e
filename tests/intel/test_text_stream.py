"""Ids to text: whole characters only, and no part of a stop text."""

from hypothesis import given
from hypothesis import strategies as st

from glm4_demos.nano import CHECKPOINT
from glm4_intel.chat.segments import TAGS, tag_ids
from glm4_intel.chat.text_stream import StopTexts, TextStream
from glm4_intel.chat.tokenizer import ChatTokenizer

PROMPT = ChatTokenizer.from_directory(CHECKPOINT)
TAG_IDS = tag_ids(PROMPT.special_id)


@given(st.text())
def test_pieces_are_whole_characters_and_add_up(text: str) -> None:
    encodable = text.encode("utf-8", "ignore").decode()
    stream = TextStream(PROMPT.token_bytes)
    pieces = [piece for id in PROMPT.encode_text(encodable) for piece in stream.feed([id])]
    assert "".join(pieces) == encodable and stream.close() == []


def test_a_character_cut_short_becomes_the_replacement_character() -> None:
    stream = TextStream(PROMPT.token_bytes)
    ids = PROMPT.encode_text("👋")
    assert len(ids) > 1
    assert [stream.feed([id]) for id in ids[:-1]] == [[]] * (len(ids) - 1)
    assert stream.close() == ["\ufffd"]


def test_a_special_token_is_a_tag_and_its_text_is_not() -> None:
    assert {tag.token: id for id, tag in TAG_IDS.items()} == {token: PROMPT.special_id(token) for token in TAGS}
    stream = TextStream(PROMPT.token_bytes, TAG_IDS)
    user = PROMPT.special_id("<|user|>")
    assert user is not None
    assert stream.feed([*PROMPT.encode_text("a<|user|>"), user]) == ["a<|user|>", TAGS["<|user|>"]]


def test_a_special_token_that_is_no_tag_is_the_text_it_spells() -> None:
    system = PROMPT.special_id("<|system|>")
    assert system is not None
    assert TextStream(PROMPT.token_bytes, TAG_IDS).feed([system]) == ["<|system|>"]


def test_no_character_and_no_stop_text_spans_a_tag() -> None:
    part = PROMPT.special_id("<|assistant|>")
    assert part is not None
    stream = TextStream(PROMPT.token_bytes, TAG_IDS, ["9, 10"])
    assert stream.feed(PROMPT.encode_text("8, 9")) == ["8, "]
    assert stream.feed([part, *PROMPT.encode_text(", 10")]) == ["9", TAGS["<|assistant|>"], ", 10"]
    assert stream.feed([*PROMPT.encode_text("👋")[:-1], part]) == ["\ufffd", TAGS["<|assistant|>"]]
    assert not stream.stopped


def test_a_stop_text_ends_the_segments() -> None:
    part = PROMPT.special_id("<|assistant|>")
    assert part is not None
    stream = TextStream(PROMPT.token_bytes, TAG_IDS, ["9, 10"])
    pieces = [piece for id in PROMPT.encode_text("8, 9, 10, 11") for piece in stream.feed([id])]
    assert "".join(map(str, pieces)) == "8, " and stream.stopped
    assert stream.feed([part, *PROMPT.encode_text("12")]) == [] == stream.close()


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
