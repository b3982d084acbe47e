"""Bodies that nobody would send, by chance from those that everybody sends: each is answered or refused, none fails."""

import asyncio
import copy
import itertools
import json
import random
import time
from collections.abc import Iterator
from typing import Any

import httpx
from house import ScriptedEngine, client

from conftest import WEATHER, ask
from scripted import call_ids, reply_ids

CALL = {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
SCHEMA = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}
SAID = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "a", "content": "sunny"}]  # fmt: skip
USED = {"type": "tool_use", "id": "a", "name": "get_weather", "input": {"city": "Oslo"}}
RESULT = {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "sunny"}], "is_error": False}
TOOL = {"name": "get_weather", "input_schema": SCHEMA, "cache_control": {"type": "ephemeral"}}
SEEDS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", {
        "messages": SAID, "tools": [WEATHER], "tool_choice": "auto", "parallel_tool_calls": False, "stop": ["x"],
        "temperature": 0, "seed": 5, "n": 2, "stream": True, "stream_options": {"include_usage": True},
        "max_completion_tokens": 20, "logprobs": True, "top_logprobs": 1, "user": "ada", "metadata": {"a": "b"}}),
    ("/v1/chat/completions", {"messages": ask("Hi"), "response_format": {
        "type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA, "strict": True}}}),
    ("/v1/completions", {"prompt": ["a", "b"], "echo": True, "max_tokens": 3, "stream": True, "logprobs": 1}),
    ("/v1/completions", {"prompt": [5, 6], "echo": True, "max_tokens": 1, "logprobs": 1, "temperature": 0}),
    ("/v1/responses", {
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
                  {"type": "function_call", "call_id": "a", "name": "get_weather", "arguments": "{}"},
                  {"type": "function_call_output", "call_id": "a", "output": "sunny"}],
        "tools": [{"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": True}],
        "tool_choice": "auto", "text": {"format": {"type": "text"}}, "instructions": "Be brief.", "stream": True}),
    ("/v1/messages", {
        "model": "nano", "max_tokens": 20, "system": [{"type": "text", "text": "x", "cache_control": {"type": "a"}}],
        "messages": [*ask("Hi"), {"role": "assistant", "content": [USED]}, {"role": "user", "content": [RESULT]}],
        "tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}, "stream": True,
        "thinking": {"type": "disabled"}, "metadata": {"user_id": "ada"}, "stop_sequences": ["x"]}),
    ("/v1/messages/count_tokens", {"messages": ask("Hi"), "tools": [TOOL], "system": "x"}),
    ("/api/chat", {"model": "nano", "messages": ask("Hi"), "tools": [WEATHER], "keep_alive": "5m", "format": SCHEMA,
                   "options": {"temperature": 0, "num_predict": 5, "stop": ["x"], "seed": 1}, "think": False}),
    ("/api/generate", {"prompt": "Hi", "system": "x", "format": "json", "keep_alive": -1, "stream": False}),
    ("/tokenize", {"messages": SAID, "tools": [WEATHER]}),
    ("/detokenize", {"tokens": [5, 6, 7]}),
    ("/api/show", {"model": "nano"}),
]  # fmt: skip
ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2, 10**30, 1.5, -0.0, 1e308, "", "x", "\x00", "\ud800", "é" * 300, "[gMASK]<sop>",
    "auto", "required", "none", "tool", "text", "function", "object", [], {}, [[]], [{}], [None], {"": None}, {"x": {}},
    {"type": "text"}, {"type": "object", "properties": 5}, {"$ref": "#"}, {"type": "function", "function": 5},
    {"role": "user", "content": "x"}, {"role": "tool", "content": "x"}, [{"type": "text", "text": 5}],
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        yield from places(each, (*path, name))


def changed(chance: random.Random, body: dict[str, Any]) -> Any:
    """The body with one to three places made odd, taken away, doubled or moved."""
    for _ in range(chance.randrange(1, 4)):
        *above, last = chance.choice([path for path in places(body) if path] or [("x",)])
        holder = body
        for name in above:
            holder = holder[name]
        kind, odd = chance.randrange(5), copy.deepcopy(chance.choice(ODD))
        if kind == 0 and (isinstance(holder, list) or last in holder):
            del holder[last]
        elif kind == 1 and isinstance(holder, list):
            holder.insert(last, odd)
        elif kind == 1:
            holder[chance.choice(["x", "type", "name", "content", "strict", "id", "tools", "n"])] = odd
        elif kind == 2 and last in (holder if isinstance(holder, dict) else range(len(holder))):
            holder[last] = [holder[last]] if chance.random() < 0.5 else {"x": holder[last]}
        else:
            holder[last] = odd
    return body


async def send(web: httpx.AsyncClient, chance: random.Random) -> tuple[str, bytes, httpx.Response, float]:
    path, seed = chance.choice(SEEDS)
    body = changed(chance, copy.deepcopy(seed)) if chance.random() < 0.97 else chance.choice(ODD)
    content = json.dumps(body).encode()
    if chance.random() < 0.03:
        cut = chance.randrange(len(content) + 1)
        content = content[:cut] + bytes([chance.randrange(256)]) + content[cut:]
    started = time.monotonic()
    return path, content, await web.post(path, content=content), time.monotonic() - started


def bombard(count: int, seed: int) -> dict[int, int]:
    """How many answers had which status. Raises AssertionError for a body that fails, or whose stream does."""
    replies = itertools.cycle([reply_ids("\nHi there."), call_ids("get_weather", '{"city": "Oslo"}'), reply_ids("{")])
    chance, statuses = random.Random(seed), dict[int, int]()

    async def run() -> None:
        engine = ScriptedEngine([], cached=1)
        engine._replies = replies
        async with client(engine=engine, queue=64) as web:
            for _ in range(count):
                path, content, answer, seconds = await send(web, chance)
                statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
                assert answer.status_code in (200, 400, 404), (path, content, answer.text)
                assert answer.status_code == 200 or answer.json(), (path, content)
                assert "server_error" not in answer.text and seconds < 20, (path, content, answer.text, seconds)
            assert engine.live == 0

    asyncio.run(run())
    return statuses


def test_no_body_fails() -> None:
    statuses = bombard(400, seed=17)
    assert statuses[200] > 40 and statuses[400] > 100
