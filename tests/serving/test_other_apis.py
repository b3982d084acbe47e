"""Anthropic's and Ollama's APIs over a scripted engine; their own clients are in `clients/`."""

import asyncio
import json
from typing import Any

import pytest
from house import ScriptedEngine, client

from conftest import WEATHER, ask
from scripted import call_ids, reply_ids

TOOL = {"name": "get_weather", "input_schema": {"type": "object"}}


def post(server: Any, path: str, **body: Any) -> Any:
    async def send() -> Any:
        async with server:
            return await server.post(path, json=body)

    return asyncio.run(send())


def message(server: Any, **body: Any) -> Any:
    return post(server, "/v1/messages", **{"model": "nano", "max_tokens": 100, "messages": ask("Hello"), **body})


def test_a_message_and_its_stream() -> None:
    told = message(client(reply_ids("\nHi there."))).json()
    assert told["content"] == [{"type": "text", "text": "Hi there."}] and told["stop_reason"] == "end_turn"
    answer = message(client(call_ids("get_weather", '{"city": "Oslo"}')), tools=[TOOL], stream=True)
    lines = [line.partition("\ndata: ") for line in answer.text.split("\n\n") if line]
    events = [json.loads(data) for _, _, data in lines]
    assert [name for name, _, _ in lines] == [f"event: {event['type']}" for event in events]
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    written = "".join(event["delta"].get("partial_json", "") for event in events if "delta" in event)
    assert json.loads(written) == {"city": "Oslo"} and events[-2]["delta"]["stop_reason"] == "tool_use"


def test_what_came_from_the_cache_is_counted_apart() -> None:
    engine = ScriptedEngine([reply_ids("\nHi")] * 2, cached=3)
    told = message(client(engine=engine)).json()["usage"]
    count = post(client(), "/v1/messages/count_tokens", messages=ask("Hello")).json()["input_tokens"]
    assert (told["input_tokens"], told["cache_read_input_tokens"]) == (count - 3, 3)
    lines = message(client(engine=engine), stream=True).text
    assert lines.count('"cache_read_input_tokens": 3') == 2


def test_results_are_told_before_what_the_user_adds() -> None:
    call = {"type": "tool_use", "id": "a", "name": "get_weather", "input": {"city": "Oslo"}}
    result = {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "sunny"}]}
    said = [*ask("Weather?"), {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result, {"type": "text", "text": "And?"}]}]  # fmt: skip
    plain = [*ask("Weather?"), {"role": "assistant", "content": "", "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}]},
        {"role": "tool", "tool_call_id": "a", "content": "sunny"}, *ask("And?")]  # fmt: skip
    counted = post(client(), "/v1/messages/count_tokens", messages=said).json()["input_tokens"]
    assert counted == post(client(), "/tokenize", messages=plain).json()["count"]


@pytest.mark.parametrize(
    "body",
    [
        {"max_tokens": 0}, {"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"tool_choice": {"type": "x"}},
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, {"mcp_servers": []},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, {"tool_choice": {"type": "any"}},
    ],
)  # fmt: skip
def test_what_anthropic_can_and_we_cannot(body: dict[str, Any]) -> None:
    answer = message(client(reply_ids("\nHi")), **body)
    assert answer.status_code == 400 and answer.json()["error"]["type"] == "invalid_request_error"


def test_ollamas_lines() -> None:
    answer = post(client(reply_ids("\nHi there.")), "/api/chat", model="nano:latest", messages=ask("Hello"))
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert "".join(line["message"]["content"] for line in lines) == "Hi there."
    assert lines[-1]["done"] and lines[-1]["done_reason"] == "stop" and lines[-1]["eval_count"]
    call = post(client(call_ids("get_weather", '{"city": "Oslo"}')), "/api/chat", messages=ask("x"), tools=[WEATHER],
                stream=False).json()  # fmt: skip
    assert call["message"]["tool_calls"] == [{"function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}]
    assert post(client(reply_ids("\nA")), "/api/generate", prompt="x", stream=False).json()["response"] == "A"
    for path, body in (("/api/chat", {"messages": []}), ("/api/generate", {})):
        loaded = post(client(), path, model="nano", **body).json()
        assert loaded["done"] and loaded["done_reason"] == "load"
    shown = post(client(), "/api/show", model="nano").json()
    assert shown["capabilities"] == ["completion", "tools"] and shown["model_info"]["glm4.context_length"] == 2048
    for body in ({"options": {"mirostat": 1}}, {"options": {"num_ctx": 10**6}}, {"suffix": "x"}, {"think": True}):
        refused = post(client(reply_ids("\nA")), "/api/generate", prompt="x", **body)
        assert refused.status_code == 400 and isinstance(refused.json()["error"], str)
