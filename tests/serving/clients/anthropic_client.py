"""Anthropic's client against a server, whose address is the argument. Run by test_clients.py."""

import sys

import anthropic

client = anthropic.Anthropic(base_url=sys.argv[1], api_key="none", max_retries=0)
ask = [{"role": "user", "content": [{"type": "text", "text": "How is the weather in Oslo?"}]}]
city = {"type": "string", "enum": ["Oslo", "Rome"]}
schema = {"type": "object", "properties": {"city": city}, "required": ["city"]}
tool = {"name": "get_weather", "description": "Get the current weather", "input_schema": schema}

assert client.messages.count_tokens(model="nano", messages=ask, tools=[tool], system="Be brief.").input_tokens > 20
with client.messages.stream(
    model="nano", max_tokens=200, messages=ask, tools=[tool], tool_choice={"type": "any"}, extra_body={"temperature": 0}
) as stream:
    for _ in stream:
        pass
message = stream.get_final_message()
assert message.stop_reason == "tool_use", message
call = message.content[-1]
assert call.name == "get_weather" and call.input["city"] in ("Oslo", "Rome") and message.usage.output_tokens
result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}]}
history = [*ask, {"role": "assistant", "content": message.content}, result]
reply = client.messages.create(
    model="nano", max_tokens=100, messages=history, tools=[tool], extra_body={"temperature": 0}
)
assert reply.content[0].type == "text" and reply.stop_reason in ("end_turn", "max_tokens", "tool_use")
stopped = client.messages.create(model="nano", max_tokens=200, stop_sequences=["10"], extra_body={"temperature": 0},
                                 messages=[{"role": "user", "content": "Count from 1 to 40."}])  # fmt: skip
assert stopped.stop_reason == "stop_sequence" and stopped.stop_sequence == "10"
try:
    client.messages.create(model="gpt", max_tokens=5, messages=ask)
    raise SystemExit("there is no such model")
except anthropic.NotFoundError as error:
    assert "gpt" in str(error)
print("ok")
