"""Replies taken apart, whole and in pieces."""

import json
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm4_demos.nano import CHECKPOINT
from glm4_intel.chat.reply import (
    ParsedReply,
    ReasoningDelta,
    ReplyStream,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    parse_reply,
)
from glm4_intel.chat.segments import TAGS, tag_ids
from glm4_intel.chat.text_stream import TextStream
from glm4_intel.chat.tokenizer import ChatTokenizer

PROMPT = ChatTokenizer.from_directory(CHECKPOINT)
CALL = ToolCall("f", {"a": 1})
CASES = [
    ("\nHello<|user|>", ParsedReply("Hello")),
    ('f\n{"a": 1}<|observation|>', ParsedReply("", (CALL,))),
    ('\nf\r\n{\n "a": 1\n}<|observation|>', ParsedReply("", (CALL,))),
    ('f\n{"a": 1}', ParsedReply("", (CALL,))),
    ('\nLet me look.\nf\n{"a": 1}<|observation|>', ParsedReply("Let me look.", (CALL,))),
    ('\nLet me look.\nf\n{"a": 1}<|user|>', ParsedReply('Let me look.\nf\n{"a": 1}')),
    ('f\n{"a": 1}<|assistant|>f\n{"a": 1}<|observation|>', ParsedReply("", (CALL, CALL))),
    ('f\n{"a": 1}\nf\n{"a": 1}<|observation|>', ParsedReply("", (CALL, CALL))),
    ('f\n{"a": 1}\nand more<|user|>', ParsedReply('f\n{"a": 1}\nand more')),
    ('F\n{"a": 1}<|observation|>', ParsedReply('F\n{"a": 1}')),
    ('f {"a": 1}<|observation|>', ParsedReply('f {"a": 1}')),
    ('f\n\n{"a": 1}<|observation|>', ParsedReply('f\n\n{"a": 1}')),
    ('f\n{"a": NaN}<|observation|>', ParsedReply('f\n{"a": NaN}')),
    ('f\n{"a": "}\\"{"}<|observation|>', ParsedReply("", (ToolCall("f", {"a": '}"{'}),))),
    ('f\n{"a": <|observation|>', ParsedReply('f\n{"a": ')),
    ("f<|observation|>", ParsedReply("f")),
    ("python\nprint(1)<|observation|>", ParsedReply("", (ToolCall("python", "print(1)"),))),
    ("python\nis a language<|user|>", ParsedReply("python\nis a language")),
    ("one<|assistant|>two<|user|>", ParsedReply("one\ntwo")),
    ("text\n\nf\n{oops<|user|>", ParsedReply("text\n\nf\n{oops")),
    ('hm\nf\n{"a": 1}<|assistant|>f\n{"a": 1}<|user|>', ParsedReply('hm\nf\n{"a": 1}', (CALL,))),
    ('hm\nf\n{"a": 1}<|assistant|>f\n{"a": 1}<|observation|>', ParsedReply("hm", (CALL, CALL))),
    ("a < b <| c<|user|>", ParsedReply("a < b <| c")),
    ("<think>\nhm\n\nwell\n</think>\nHi<|user|>", ParsedReply("Hi", (), "hm\n\nwell")),
    ('<think>\nhm\n</think>\nf\n{"a": 1}<|observation|>', ParsedReply("", (CALL,), "hm")),
    ('<think>f\n{"a": 1}</think>Hi<|user|>', ParsedReply("Hi", (), 'f\n{"a": 1}')),
    ("<think>cut off<|endoftext|>", ParsedReply("", (), "cut off")),
    ("\n<think></think>\n\nHi", ParsedReply("Hi")),
    ("I write <think> and </think><|user|>", ParsedReply("I write <think> and </think>")),
    ("<thin", ParsedReply("<thin")),
]


@pytest.mark.parametrize(("reply", "parsed"), CASES)
def test_parse_reply(reply: str, parsed: ParsedReply) -> None:
    assert parse_reply(reply, ["f", "python"]) == parsed


BLANKS = [
    (' f \n{"a": 1}<|observation|>', ParsedReply("", (CALL,))),
    ('\tf\r\n{"a": 1}', ParsedReply("", (CALL,))),
    ('\u3000f\n{"a": 1}<|assistant|> f\n{"a": 1}', ParsedReply("", (CALL, CALL))),
    ('Let me look.\n  f\n{"a": 1}<|observation|>', ParsedReply("Let me look.", (CALL,))),
    (" python\n print(1)<|observation|>", ParsedReply("", (ToolCall("python", " print(1)"),))),
    (" f<|user|>", ParsedReply(" f")),
    ("   f  g<|user|>", ParsedReply("   f  g")),
    ("  \n f\n{<|user|>", ParsedReply("  \n f\n{")),
]


@pytest.mark.parametrize(("reply", "parsed"), BLANKS)
def test_blanks_around_a_name_do_not_count(reply: str, parsed: ParsedReply) -> None:
    assert parse_reply(reply, ["f", "python"]) == parsed
    stream = ReplyStream(["f", "python"])
    events = [event for character in reply for event in stream.feed(character)] + stream.close()
    assert _parsed(events) == parsed


def test_a_call_has_the_name_that_was_declared() -> None:
    assert parse_reply("f\n{}", [" f "]).tool_calls == (ToolCall(" f ", {}),)


PIECES = st.sampled_from(
    ["f", "\n", '{"a": 1}', "{", "}", "<|assistant|>", "<|observation|>", "<|user|>", "python", "x ", " ", "g", "\r",
     "<|as", '{\n "a":2}', "print(1)", "\n\n", "<", "<think>", "</think>", "</th"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=16).map("".join), st.lists(st.integers(0, 60)))
def test_every_cut_of_a_reply_adds_up_to_the_whole(reply: str, cuts: list[int]) -> None:
    stream, events = ReplyStream(["f", "g", "python"]), []
    ends = [*sorted(cut for cut in cuts if cut < len(reply)), len(reply)]
    for start, end in zip([0, *ends], ends, strict=False):
        events += stream.feed(reply[start:end])
    events += stream.close()
    parsed = _parsed(events)
    assert parsed == parse_reply(reply, ["f", "g", "python"])
    assert _from_deltas(events) == parsed.tool_calls


def _parsed(events: list) -> ParsedReply:
    """The reply as a client of the events puts it together."""
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    calls = tuple(event for event in events if isinstance(event, ToolCall))
    thought = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    return ParsedReply(text, calls, thought)


def _from_deltas(events: list) -> tuple[ToolCall, ...]:
    """The calls as a client of the deltas puts them together."""
    written: dict[int, list[str]] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            if event.name:
                written[event.index] = [event.name, ""]
            written[event.index][1] += event.arguments
    return tuple(ToolCall(name, text if name == "python" else json.loads(text)) for name, text in written.values())


def _special(token: str) -> int:
    id = PROMPT.special_id(token)
    assert id is not None
    return id


def _read(ids: Iterable[int], stream: ReplyStream) -> ParsedReply:
    """A reply that comes as ids, one after the other."""
    text, events = TextStream(PROMPT.token_bytes, tag_ids(PROMPT.special_id)), []
    for id in ids:
        events += stream.feed_segments(text.feed([id]))
    return _parsed(events + stream.feed_segments(text.close()) + stream.close())


@given(st.lists(PIECES, max_size=16).map("".join))
def test_plain_tokens_are_text_whatever_they_spell(text: str) -> None:
    ids = [*PROMPT.encode_text(text), _special("<|observation|>")]
    assert _read(ids, ReplyStream(thinking="off")) == ParsedReply(text.strip("\n"))


@pytest.mark.parametrize("tag", TAGS)
def test_a_quoted_tag_is_text_and_a_call_after_it_does_not_run(tag: str) -> None:
    for text in (f"{tag} is a tag", f'It ends with {tag}f\n{{"a": 1}}', f'hm\nf\n{{"a": 1}}{tag}'):
        assert _read([*PROMPT.encode_text(text), _special("<|user|>")], ReplyStream(["f"])) == ParsedReply(text)


def test_a_tag_that_is_a_special_token_divides_and_ends_the_reply() -> None:
    call = PROMPT.encode_text('f\n{"a": 1}')
    ids = [*PROMPT.encode_text("one"), _special("<|assistant|>"), *call, _special("<|observation|>"), *call]
    assert _read(ids, ReplyStream(["f"])) == ParsedReply("one", (CALL,))
    after_text = [*PROMPT.encode_text("one\n"), *call]
    assert _read([*after_text, _special("<|observation|>")], ReplyStream(["f"])) == ParsedReply("one", (CALL,))
    assert _read([*after_text, _special("<|user|>")], ReplyStream(["f"])) == ParsedReply('one\nf\n{"a": 1}')


def test_a_quoted_tag_in_an_argument_belongs_to_it() -> None:
    ids = [*PROMPT.encode_text('f\n{"a": "<|observation|>"}'), _special("<|observation|>")]
    call = ToolCall("f", {"a": "<|observation|>"})
    assert _read(ids, ReplyStream(["f"])) == _read(ids, ReplyStream(["f"], guided=True)) == ParsedReply("", (call,))


def test_a_thought_may_quote_a_tag() -> None:
    ids = [*PROMPT.encode_text("<think>\nno <|user|> here\n</think>\nHi"), _special("<|user|>")]
    assert _read(ids, ReplyStream()) == ParsedReply("Hi", (), "no <|user|> here")


def test_a_function_may_be_called_python() -> None:
    reply = 'python\n{"n": 3}<|observation|>'
    function = ParsedReply("", (ToolCall("python", {"n": 3}),))
    assert parse_reply(reply, ["python"]) == ParsedReply("", (ToolCall("python", '{"n": 3}'),))
    assert parse_reply(reply, ["python"], functions=["python"]) == function
    assert parse_reply(reply, functions=["python"]) == function
    assert parse_reply("python\nprint(1)<|observation|>", functions=["python"]) == ParsedReply("python\nprint(1)")


@pytest.mark.parametrize("guided", [False, True])
def test_a_call_has_an_id_which_its_first_delta_has_too(guided: bool) -> None:
    stream = ReplyStream(["f"], guided=guided)
    named, *written, call = stream.feed('f\n{"a": 1}<|observation|>') + stream.close()
    assert isinstance(named, ToolCallDelta) and isinstance(call, ToolCall)
    assert re.fullmatch("call_[A-Za-z0-9]{24}", call.id) and (named.name, named.id) == ("f", call.id)
    assert [delta.id for delta in written if isinstance(delta, ToolCallDelta)] == [""]


def test_every_call_has_its_own_id() -> None:
    first, second = parse_reply('f\n{"a": 1}\nf\n{"a": 1}', ["f"]).tool_calls
    assert first == second and first.id != second.id


def test_a_call_in_openais_form() -> None:
    function = {"name": "f", "arguments": '{"城": 1}'}
    assert ToolCall("f", {"城": 1}, "call_1").message() == {"id": "call_1", "type": "function", "function": function}
    assert ToolCall("python", "print(1)").message()["function"] == {"name": "python", "arguments": "print(1)"}


@given(st.lists(PIECES, max_size=12).map("".join), st.integers(0, 40))
def test_a_reply_that_begins_inside_a_thought(reply: str, cut: int) -> None:
    stream = ReplyStream(["f"], "inside")
    events = stream.feed(reply[:cut]) + stream.feed(reply[cut:]) + stream.close()
    thought = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert (thought, text) == (lambda whole: (whole.reasoning, whole.text))(parse_reply(reply, ["f"], "inside"))


def test_a_model_that_does_not_reason_may_write_the_tag() -> None:
    assert parse_reply("<think> is a tag<|user|>", thinking="off") == ParsedReply("<think> is a tag")


def test_reasoning_is_shown_while_it_comes() -> None:
    stream = ReplyStream(["f"])
    assert stream.feed("<think>\nFirst") == [ReasoningDelta("First")]
    assert stream.feed(", then\n") == [ReasoningDelta(", then")]
    assert stream.feed("more</thi") == [ReasoningDelta("\nmore")]
    assert stream.feed("nk>\n\nHello") == [TextDelta("Hello")]


def test_a_guided_call_comes_as_it_is_written() -> None:
    stream = ReplyStream(["f"], guided=True)
    assert stream.feed("f") == []
    assert stream.feed("\n{") == [ToolCallDelta(0, name="f"), ToolCallDelta(0, arguments="{")]
    assert stream.feed('"a": 1') == [ToolCallDelta(0, arguments='"a": 1')]
    assert stream.feed("}<|observation|>") == [ToolCallDelta(0, arguments="}")]
    assert stream.close() == [CALL]


def test_a_guided_call_that_is_cut_off_is_none() -> None:
    stream = ReplyStream(["f"], guided=True)
    assert stream.feed('f\n{"a": ') == [ToolCallDelta(0, name="f"), ToolCallDelta(0, arguments='{"a": ')]
    assert stream.close() == []


def test_a_special_token_that_a_grammar_let_through_is_text_of_the_argument() -> None:
    ids = [*PROMPT.encode_text('f\n{"a": "'), _special("<|assistant|>"), *PROMPT.encode_text('"}')]
    call = ToolCall("f", {"a": "<|assistant|>"})
    assert _read([*ids, _special("<|observation|>")], ReplyStream(["f"], guided=True)) == ParsedReply("", (call,))


def test_text_that_can_be_no_call_is_shown_at_once() -> None:
    stream = ReplyStream(["get_weather"])
    assert stream.feed("\nge") == []
    assert stream.feed("nerally") == [TextDelta("generally")]
    assert stream.feed(" so") == [TextDelta(" so")]


@pytest.mark.parametrize(
    "text",
    [
        "{" * 10**6,
        "f\n{" * 300_000,
        "<" * 10**6,
        "f\n" + '{"a":' * 200_000,
        "\n" * 10**6,
        "f\n{}x\n" * 100_000,
        "<|assistant|>" * 80_000,
        "<think>" + "<" * 10**6,
        "<think>" + "\n" * 10**6,
    ],
)
@pytest.mark.parametrize("end", ["", "<|observation|>"])
def test_no_reply_takes_quadratic_time(text: str, end: str) -> None:
    started = time.perf_counter()
    parse_reply(text + end, ["f"])
    assert time.perf_counter() - started < (1 if text.startswith("{") else 5)  # quadratic time would be minutes


@pytest.mark.parametrize("text", [" ", "\n", "<", "{", "f \n{", "<think>\n", "\n<think>", "<think><", "f" + " " * 99])
def test_no_reply_takes_quadratic_time_a_character_at_a_time(text: str) -> None:
    stream, started = ReplyStream(["f"]), time.perf_counter()
    for character in text + text[-1] * 300_000:
        stream.feed(character)
    stream.close()
    assert time.perf_counter() - started < 5  # quadratic time would be minutes


@pytest.mark.skipif("GLM4_CONFORMANCE" not in os.environ, reason="GLM4_CONFORMANCE names no folder")
def test_conformance_of_tool_calls() -> None:
    cases = json.loads((Path(os.environ["GLM4_CONFORMANCE"]) / "tool_calls.json").read_text(encoding="utf-8"))
    for case in cases:
        expected = case["expected"]
        calls = [ToolCall(call["name"], call["arguments"]) for call in expected.get("tool_calls", ())]
        if built_in := expected.get("builtin_call"):
            calls = [ToolCall(built_in["name"], built_in["content"])]
        parsed = parse_reply(case["model_output"], case["tools_declared"])
        assert (parsed.text, parsed.tool_calls) == (expected.get("content", ""), tuple(calls)), case["id"]
