"""A conversation is parsed once, where it comes in; its history is cut where it outgrows the context."""

import json
from typing import Any

import pytest

from conftest import WEATHER, ask
from glm4_intel import Conversation, Glm4Error, agent
from glm4_intel.chat import conversation as conversations
from glm4_intel.chat import guide, history
from glm4_intel.chat.template import ChatTemplate
from scripted import TOKENIZER, call_ids, reply_ids, scripted

SCHEMA = {"type": "json_schema", "json_schema": {"schema": {"type": "boolean"}}}


def counted(monkeypatch: pytest.MonkeyPatch, place: Any, name: str) -> list[int]:
    """How often a function is called from now on."""
    calls, whole = [0], getattr(place, name)

    def counting(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        return whole(*args, **kwargs)

    monkeypatch.setattr(place, name, counting)
    return calls


def test_one_reply_is_parsed_rendered_and_declared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    glm, backend = scripted(reply_ids("\ntrue"))
    TOKENIZER.encode(ask("x"), [WEATHER])  # the template is probed once, when it is first given tools
    places = (
        (conversations, "parse_messages"),
        (conversations, "parse_tools"),
        (ChatTemplate, "render"),
        (guide, "json_grammar"),
    )
    counts = [counted(monkeypatch, place, name) for place, name in places]
    glm.generate(ask("x"), [WEATHER], response_format=SCHEMA)
    assert counts == [[1]] * 4 and backend.requests[0].guide is not None


def test_a_tool_loop_parses_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    def get_weather(city: str) -> str:
        """Get the weather"""
        return "sunny"

    glm, backend = scripted(call_ids("get_weather", '{"city": "Oslo"}'), reply_ids("\nSunny."))
    parsed = counted(monkeypatch, conversations, "parse_tools")
    *_, end = agent.run(glm, ask("Weather in Oslo?"), [get_weather])
    assert isinstance(end, agent.Finished) and end.reply.text == "Sunny." and parsed == [1]
    said = [message["role"] for message in end.messages]
    assert said == ["user", "assistant", "tool", "assistant"]
    call = end.messages[1]["tool_calls"][0]
    assert call["id"] == end.messages[2]["tool_call_id"] and call["id"].startswith("call_")
    assert json.loads(call["function"]["arguments"]) == {"city": "Oslo"}
    assert backend.requests[1].ids[: len(backend.requests[0].ids)] == backend.requests[0].ids


@pytest.mark.parametrize(
    "message",
    [
        {"role": "function", "name": "get_weather", "content": "sunny"},
        {"role": "tool", "content": [{"type": "input_text", "text": "sunny"}]},
        {"role": "tool", "content": [{"type": "output_text", "text": "sunny"}]},
    ],
)
def test_forms_of_a_tools_result(message: dict) -> None:
    plain = {"role": "observation", "content": "sunny"}
    assert TOKENIZER.encode([*ask("x"), message]) == TOKENIZER.encode([*ask("x"), plain])


def test_results_are_put_in_the_order_of_their_calls() -> None:
    calls = [{"id": id, "function": {"name": "f", "arguments": {"n": id}}} for id in ("a", "b")]
    results = [{"role": "tool", "tool_call_id": id, "content": f"of {id}"} for id in ("a", "b")]
    messages = [*ask("x"), {"role": "assistant", "tool_calls": calls}]
    assert TOKENIZER.encode([*messages, *results]) == TOKENIZER.encode([*messages, *reversed(results)])


@pytest.mark.parametrize(("choice", "forced"), [("any", True), ("required", True), (None, False), ("auto", False)])
def test_words_for_a_tool_choice(choice: str | None, forced: bool) -> None:
    conversation = Conversation.parse(ask("x"), [WEATHER], choice)
    assert conversation.must_call is forced and list(conversation.declared) == ["get_weather"]
    assert not Conversation.parse(ask("x"), [WEATHER], "none").declared


def exchanges(count: int) -> list[dict]:
    said: list[dict] = [{"role": "system", "content": "Be brief."}]
    for number in range(count):
        said += [*ask(f"What is {number} + 20?"), {"role": "assistant", "content": f"{number} + 20 = {number + 20}"}]
    return said


def test_a_cut_history_fills_half_of_the_room_and_begins_alike_in_the_next_turns() -> None:
    room, prompts = 300, []
    for count in range(1, 60):
        messages = [*exchanges(count), *ask("And then?")]
        fitted, ids = history.fit(Conversation.parse(messages), TOKENIZER, room)
        assert len(ids) <= room and fitted.messages[0].role == "system"
        prompts.append((len(messages) - len(fitted.messages), len(ids)))
    cuts = sorted({dropped for dropped, _ in prompts})
    assert len(cuts) < 20 and cuts[0] == 0  # the beginning stays the same for several turns
    first = {dropped: next(size for each, size in prompts if each == dropped) for dropped in cuts[1:]}
    exchange = len(TOKENIZER.encode(exchanges(1)))  # the one that has been answered since the cut
    assert all(size <= room // 2 + exchange for size in first.values())


def test_the_last_exchange_stays_however_long() -> None:
    messages = [*exchanges(3), *ask("red " * 400)]
    fitted, ids = history.fit(Conversation.parse(messages), TOKENIZER, 100)
    assert [message.role for message in fitted.messages] == ["system", "user"] and len(ids) > 100
    alone = Conversation.parse(ask("red " * 400))
    assert history.fit(alone, TOKENIZER, 100)[0] == alone
    none = Conversation.parse([{"role": "system", "content": "red " * 400}])
    assert history.fit(none, TOKENIZER, 100)[0] == none


def test_a_closed_runtime_and_with() -> None:
    glm, backend = scripted()
    with glm as entered:
        assert entered is glm
    assert backend.closed


def test_earlier_names_are_kept() -> None:
    from glm4_demos.conversation import Conversation as Dialogue
    from glm4_intel.tools import parse_reply

    glm, _ = scripted()
    assert glm.prompt is glm.tokenizer and parse_reply("\nHi<|user|>").text == "Hi" and Dialogue().turns == []


def test_extending_says_what_is_wrong() -> None:
    with pytest.raises(Glm4Error, match=r"messages\[0\].role is 'human'"):
        Conversation.parse(ask("x")).extended([{"role": "human", "content": "x"}])


def test_the_tokenizer_keeps_its_earlier_name() -> None:
    from glm4_intel.chat.tokenizer import ChatTokenizer
    from glm4_intel.prompt import Prompt

    assert Prompt is ChatTokenizer


@pytest.mark.parametrize(
    "role",
    [None, [], {}, set(), 5, b"user", ["user"], "User", "x" * 20_000, "\ud800"],
    ids=lambda value: ascii(value)[:12],
)
def test_roles_that_are_none_are_told_in_a_short_line(role: Any) -> None:
    with pytest.raises(Glm4Error, match=r"^messages\[0\]\.role is ") as told:
        Conversation.parse([{"role": role, "content": "x"}])
    assert len(str(told.value)) < 1000


@pytest.mark.parametrize("kind", [None, [], {}, 5, "image_url", "x" * 20_000], ids=lambda value: ascii(value)[:12])
def test_parts_that_are_no_text_are_told_in_a_short_line(kind: Any) -> None:
    with pytest.raises(Glm4Error, match="is a part of type ") as told:
        Conversation.parse([{"role": "user", "content": [{"type": kind, "text": "x"}]}])
    assert len(str(told.value)) < 1000
