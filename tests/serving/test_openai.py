"""OpenAI's API over a scripted engine: what it takes, what it answers, and what it refuses by name."""

import asyncio
import json
from typing import Any

import pytest
from house import CHECKPOINT, Facts, ScriptedEngine, client

from conftest import WEATHER, ask
from glm4_intel.chat.tokenizer import ChatTokenizer
from scripted import TOKENIZER, call_ids, reply_ids


def post(server: Any, path: str, **body: Any) -> Any:
    async def send() -> Any:
        async with server:
            return await server.post(path, json=body)

    return asyncio.run(send())


def chat(server: Any, **body: Any) -> Any:
    return post(server, "/v1/chat/completions", **{"messages": ask("Hello"), **body})


def events(answer: Any) -> list[dict[str, Any]]:
    """The objects of a stream that is whole."""
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert answer.status_code == 200 and lines.pop() == "[DONE]", answer.text
    return [json.loads(line) for line in lines]


def test_a_chat_is_answered_with_usage() -> None:
    answer = chat(client(reply_ids("\nHi there.")), model="nano", temperature=0, user="ada")
    body = answer.json()
    assert body["object"] == "chat.completion" and body["model"] == "nano"
    assert body["choices"][0]["message"]["content"] == "Hi there." and body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]
    assert answer.headers["x-request-id"].startswith("req_")


def test_a_stream_ends_with_its_reason_and_the_figures() -> None:
    answer = chat(client(reply_ids("\nHi there.")), stream=True, stream_options={"include_usage": True})
    told = events(answer)
    assert told[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(each["choices"][0]["delta"].get("content") or "" for each in told[:-1])
    assert text == "Hi there." and told[-2]["choices"][0]["finish_reason"] == "stop"
    assert told[-1]["choices"] == [] and told[-1]["usage"]["completion_tokens"] == len(reply_ids("\nHi there."))
    assert told[0]["usage"] is None and len({each["id"] for each in told}) == 1


def test_calls_come_whole_and_in_pieces() -> None:
    reply = call_ids("get_weather", '{"city": "Oslo"}')
    whole = chat(client(reply), tools=[WEATHER]).json()["choices"][0]
    assert whole["finish_reason"] == "tool_calls" and whole["message"]["content"] is None
    call = whole["message"]["tool_calls"][0]
    assert call["function"] == {"name": "get_weather", "arguments": '{"city": "Oslo"}'} and call["type"] == "function"
    told = [each["choices"][0]["delta"] for each in events(chat(client(reply), tools=[WEATHER], stream=True))]
    pieces = [call for delta in told for call in delta.get("tool_calls", ())]
    assert pieces[0]["function"]["name"] == "get_weather" and pieces[0]["id"].startswith("call_")
    assert "".join(piece["function"]["arguments"] for piece in pieces) == '{"city": "Oslo"}'


def test_one_call_where_several_are_not_wanted() -> None:
    first, second = call_ids("get_weather", '{"city": "Oslo"}')[:-1], call_ids("get_weather", '{"city": "Rome"}')
    between = TOKENIZER.special_id("<|assistant|>")
    assert between is not None
    reply = [*first, between, *second]
    assert len(chat(client(reply), tools=[WEATHER]).json()["choices"][0]["message"]["tool_calls"]) == 2
    one = chat(client(reply), tools=[WEATHER], parallel_tool_calls=False).json()["choices"][0]["message"]
    assert [call["function"]["arguments"] for call in one["tool_calls"]] == ['{"city": "Oslo"}']
    flat = {"type": "function", **WEATHER["function"]}
    items = post(client(reply), "/v1/responses", input="Hi", tools=[flat], parallel_tool_calls=False).json()["output"]
    assert [item["arguments"] for item in items] == ['{"city": "Oslo"}']
    claude = {"model": "nano", "max_tokens": 99, "messages": ask("Hi"), "tools": [{"name": "get_weather"}]}
    for choice, count in ({"type": "auto"}, 2), ({"type": "auto", "disable_parallel_tool_use": True}, 1):
        told = post(client(reply), "/v1/messages", **claude, tool_choice=choice).json()
        assert len([block for block in told["content"] if block["type"] == "tool_use"]) == count


def test_several_choices_have_seeds_of_their_own() -> None:
    engine = ScriptedEngine([reply_ids("\nA"), reply_ids("\nB")])
    answer = chat(client(engine=engine), n=2, seed=7).json()
    assert sorted(each["message"]["content"] for each in answer["choices"]) == ["A", "B"]
    assert [request.params.seed for request in engine.requests] == [7, 8]


def test_logprobs_of_the_taken_token() -> None:
    answer = chat(client(reply_ids("\nHi")), logprobs=True, temperature=0, top_logprobs=1).json()
    tokens = answer["choices"][0]["logprobs"]["content"]
    assert b"".join(bytes(each["bytes"]) for each in tokens) == b"\nHi" and tokens[0]["logprob"] == -0.5
    assert tokens[0]["top_logprobs"][0]["logprob"] == -0.5
    told = events(chat(client(reply_ids("\nHi")), logprobs=True, stream=True))
    pieces = [each["choices"][0]["logprobs"] for each in told]
    assert sum(len(each["content"]) for each in pieces if each) == len(tokens)


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("messages", {"messages": []}),
        ("messages", {"messages": [{"role": "user"}]}),
        ("messages", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}),
        ("messages", {"messages": [{"role": "user", "content": "x", "name": "ada"}]}),
        ("messages", {"messages": "x"}),
        ("temperature", {"temperature": "hot"}),
        ("temperature", {"temperature": -1}),
        ("temperature", {"temperature": True}),
        ("top_p", {"top_p": 2}),
        ("n", {"n": 0}),
        ("n", {"n": 17}),
        ("seed", {"seed": 1.5}),
        ("max_tokens", {"max_tokens": 0}),
        ("max_completion_tokens", {"max_tokens": 5, "max_completion_tokens": 6}),
        ("max_completion_tokens", {"max_completion_tokens": 0}),
        ("logit_bias", {"logit_bias": {"5": 1}}),
        ("top_logprobs", {"logprobs": True, "top_logprobs": 2}),
        ("top_logprobs", {"logprobs": True, "top_logprobs": 1, "temperature": 1}),
        ("stream_options", {"stream_options": {"include_usage": True}}),
        ("audio", {"audio": {}}),
        ("store", {"store": True}),
        ("reasoning_effort", {"reasoning_effort": "low"}),
        ("modalities", {"modalities": ["text", "audio"]}),
        ("functions", {"functions": []}),
        ("service_tier", {"service_tier": "priority"}),
        ("tool_choice", {"tool_choice": "required"}),
        ("tool_choice", {"tools": [WEATHER], "tool_choice": "always"}),
        ("tools", {"tools": [{"type": "web"}]}),
        ("response_format", {"response_format": {"type": "yaml"}}),
        ("response_format", {"response_format": {"type": "json_schema", "json_schema": {"schema": {"not": {}}}}}),
        ("frobnicate", {"frobnicate": 1}),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(field: str, body: dict[str, Any]) -> None:
    answer = chat(client(reply_ids("\nHi")), **body)
    error = answer.json()["error"]
    assert answer.status_code == 400 and error["type"] == "invalid_request_error" and error["message"]
    assert (error["param"] or "").partition("[")[0].partition(".")[0] == field, error


def test_a_completion_is_text_to_the_letter() -> None:
    engine = ScriptedEngine([reply_ids("\n two\nlines"), reply_ids(" b")])
    body = {"prompt": "one", "echo": True, "max_tokens": 50}
    answer = post(client(engine=engine), "/v1/completions", **body).json()
    assert answer["choices"][0]["text"] == "one\n two\nlines" and answer["object"] == "text_completion"
    engine = ScriptedEngine([reply_ids(" a"), reply_ids(" b")])
    answer = post(client(engine=engine), "/v1/completions", prompt=[[5, 6, 7], [8]], temperature=0, logprobs=1).json()
    assert [each["text"] for each in answer["choices"]] == [" a", " b"] and answer["usage"]["prompt_tokens"] == 4
    assert list(engine.requests[0].ids) == [5, 6, 7] and engine.requests[0].params.max_new_tokens == 16
    logprobs = answer["choices"][0]["logprobs"]
    assert "".join(logprobs["tokens"]) == " a" and logprobs["text_offset"][0] == 0
    told = events(post(client(reply_ids(" a")), "/v1/completions", prompt="x", stream=True))
    assert "".join(each["choices"][0]["text"] for each in told) == " a"


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("suffix", {"suffix": "x"}), ("best_of", {"best_of": 3}), ("logprobs", {"logprobs": 5}),
        ("echo", {"echo": True, "logprobs": 0}), ("prompt", {"prompt": []}), ("prompt", {"prompt": [-1]}),
        ("prompt", {"prompt": [[]]}), ("prompt", {"prompt": [10**9]}), ("logprobs", {"logprobs": 1, "temperature": 1}),
    ],
)  # fmt: skip
def test_a_completion_that_cannot_be(field: str, body: dict[str, Any]) -> None:
    answer = post(client(reply_ids("x")), "/v1/completions", **{"prompt": "x", **body})
    assert answer.status_code == 400 and answer.json()["error"]["param"] == field


def test_what_came_from_the_cache_is_told_where_it_is_known() -> None:
    assert "prompt_tokens_details" not in chat(client(reply_ids("\nHi"))).json()["usage"]
    engine = ScriptedEngine([reply_ids("\nHi")] * 8, cached=3)
    for stream in (False, True):
        more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        answer = chat(client(engine=engine), n=2, **more)
        usage = (events(answer)[-1] if stream else answer.json())["usage"]
        assert usage["prompt_tokens_details"] == {"cached_tokens": 3}
        answer = post(client(engine=engine), "/v1/completions", prompt=[[5] * 9, [6] * 9], **more)
        usage = (events(answer)[-1] if stream else answer.json())["usage"]
        assert usage["prompt_tokens"] == 18 and usage["prompt_tokens_details"] == {"cached_tokens": 6}


def test_a_text_is_scored() -> None:
    body = {"prompt": [[5, 6, 7], [8, 9]], "echo": True, "temperature": 0}
    told = post(client(), "/v1/completions", **body, max_tokens=1, logprobs=2).json()
    scores = [each["logprobs"] for each in told["choices"]]
    assert [len(each["tokens"]) for each in scores] == [4, 3] and scores[0]["token_logprobs"] == [None] + [-0.5] * 3
    assert scores[0]["top_logprobs"][0] is None and scores[0]["text_offset"] == [0, 1, 2, 3]
    assert all(max(each.values()) == -0.5 for each in scores[0]["top_logprobs"][1:])
    assert told["choices"][0]["text"] == "".join(scores[0]["tokens"]) and told["usage"]["total_tokens"] == 7
    bare = post(client(), "/v1/completions", **body, max_tokens=0, logprobs=0).json()["choices"][0]["logprobs"]
    assert len(bare["tokens"]) == 3 and bare["top_logprobs"] is None
    for wrong in ({"max_tokens": 5}, {"n": 2}, {"stream": True}, {"logprobs": 6}):
        refused = post(client(), "/v1/completions", **{**body, "logprobs": 1, "max_tokens": 1, **wrong})
        assert refused.status_code == 400 and refused.json()["error"]["param"] == "echo"
    engine = ScriptedEngine([])
    engine.facts = Facts(2048, 2047, "CPU")
    refused = post(client(engine=engine), "/v1/completions", **body, logprobs=1, max_tokens=1)
    assert refused.status_code == 400 and "--scoring" in refused.json()["error"]["message"]


def test_texts_to_ids_and_back() -> None:
    told = post(client(), "/tokenize", messages=ask("Hello")).json()
    text = post(client(), "/detokenize", tokens=told["tokens"]).json()["prompt"]
    assert text == "[gMASK]<sop><|user|>\nHello<|assistant|>" and told["count"] == len(told["tokens"])
    bare = post(client(), "/tokenize", prompt="Hello", add_special_tokens=False).json()["tokens"]
    assert post(client(), "/tokenize", prompt="Hello").json()["tokens"][-len(bare) :] == bare
    end = post(client(), "/tokenize", prompt="<|endoftext|>", add_special_tokens=False).json()
    assert end["count"] == 1 and post(client(), "/tokenize", prompt="<|endoftext|>").json()["count"] > 3
    assert post(client(), "/v1/embeddings", input="x").status_code == 400
    assert post(client(), "/v1/nothing", input="x").json()["error"]["type"] == "not_found_error"
    assert chat(client(), model="gpt-4").json()["error"]["code"] == "model_not_found"


def test_strict_functions_are_held_to_their_schema() -> None:
    function = {**WEATHER["function"], "strict": True}
    engine = ScriptedEngine([reply_ids("\nHi")] * 5)
    loose = {**WEATHER, "function": {**WEATHER["function"], "name": "other"}}
    assert chat(client(engine=engine), tools=[{**WEATHER, "function": function}, loose]).status_code == 200
    guide = engine.requests[0].guide
    assert guide and not guide.forms and [call.start for call in guide.calls] == ["get_weather\n"]
    flat = {"type": "function", **function}
    assert post(client(engine=engine), "/v1/responses", input="Hi", tools=[flat]).status_code == 200
    claude = {"name": "get_weather", "input_schema": function["parameters"], "strict": True}
    body = {"model": "nano", "max_tokens": 9, "messages": ask("Hi"), "tools": [claude]}
    assert post(client(engine=engine), "/v1/messages", **body).status_code == 200
    assert all(request.guide and request.guide.calls == guide.calls for request in engine.requests)
    for tool in ({**WEATHER, "function": function}, WEATHER):
        assert chat(client(engine=engine), tools=[tool]).status_code == 200
    assert engine.requests[-1].guide is None
    assert engine.requests[-1].ids == engine.requests[-2].ids  # `strict` is no part of what the model reads
    for wrong in (
        {**function, "name": "\0x"},
        {**function, "strict": "yes"},
        {**function, "parameters": {"type": "object", "not": {}}},
    ):
        answer = chat(client(engine=engine), tools=[{**WEATHER, "function": wrong}])
        assert answer.status_code == 400 and answer.json()["error"]["message"]


def test_thoughts_come_apart() -> None:
    """GLM-Z1's template begins a reply inside of them."""
    template = (CHECKPOINT / "chat_template.jinja").read_text(encoding="utf-8")
    z1 = {"tokenizer": ChatTokenizer(TOKENIZER.bpe, template + "{% if add_generation_prompt %}\n<think>{% endif %}")}
    thinking = reply_ids("\nA greeting.\n</think>\n\nHi.")
    message = chat(client(thinking, **z1)).json()["choices"][0]["message"]
    assert message["reasoning_content"].strip() == "A greeting." and message["content"] == "Hi."
    deltas = [each["choices"][0]["delta"] for each in events(chat(client(thinking, **z1), stream=True))]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas).strip() == "A greeting."
    assert "".join(delta.get("content") or "" for delta in deltas) == "Hi."
    items = post(client(thinking, **z1), "/v1/responses", input="Hi").json()["output"]
    assert [item["content"][0]["text"].strip() for item in items] == ["A greeting.", "Hi."]
    lines = post(client(thinking, **z1), "/v1/responses", input="Hi", stream=True).text.split("\n\n")
    objects = [json.loads(line.partition("\ndata: ")[2]) for line in lines if line]
    added = [each["item"]["type"] for each in objects if each["type"] == "response.output_item.added"]
    assert added == ["reasoning", "message"] and objects[-1]["response"]["output"][0]["content"] == items[0]["content"]
    written = [each for each in objects if each["type"] == "response.output_text.delta"]
    assert {each["output_index"] for each in written} == {1}
    again = [{"role": "user", "content": "Hi"}, *items, {"role": "user", "content": "And?"}]
    assert post(client(reply_ids("</think>\nHi"), **z1), "/v1/responses", input=again).status_code == 200
    told = post(client(thinking, **z1), "/v1/messages", model="nano", max_tokens=99, messages=ask("Hi")).json()
    assert [block["type"] for block in told["content"]] == ["thinking", "text"]
    said = [*ask("Hi"), message, *ask("And?")]
    again = ScriptedEngine([reply_ids("</think>\nHi")] * 2)
    assert chat(client(engine=again, **z1), messages=said).status_code == 200
    plain = [*ask("Hi"), {"role": "assistant", "content": "Hi."}, *ask("And?")]
    assert chat(client(engine=again, **z1), messages=plain).status_code == 200
    assert again.requests[0].ids == again.requests[1].ids  # thoughts are not told again
