"""Replies taken apart, whole and in pieces."""

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm4_intel.tools import (
    ParsedReply,
    ReasoningDelta,
    ReplyStream,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    parse_reply,
)

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
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    calls = tuple(event for event in events if isinstance(event, ToolCall))
    thought = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    assert ParsedReply(text, calls, thought) == parse_reply(reply, ["f", "g", "python"])
    assert _from_deltas(events) == calls


def _from_deltas(events: list) -> tuple[ToolCall, ...]:
    """The calls as a client of the deltas puts them together."""
    written: dict[int, list[str]] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            if event.name:
                written[event.index] = [event.name, ""]
            written[event.index][1] += event.arguments
    return tuple(ToolCall(name, text if name == "python" else json.loads(text)) for name, text in written.values())


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
