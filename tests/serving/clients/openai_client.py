"""OpenAI's client against a server, whose address is the argument. Run by test_clients.py."""

import sys

import openai
from pydantic import BaseModel

client = openai.OpenAI(base_url=f"{sys.argv[1]}/v1", api_key="none", max_retries=0)
ask = [{"role": "user", "content": "What is 17 + 25?"}]
weather = {"type": "function", "function": {"name": "get_weather", "description": "Get the current weather",
           "parameters": {"type": "object", "properties": {"city": {"type": "string", "enum": ["Oslo", "Rome"]}},
                          "required": ["city"]}}}  # fmt: skip


class Sum(BaseModel):
    left: int
    right: int


assert [model.id for model in client.models.list()] == ["nano"]
reply = client.chat.completions.create(model="nano", messages=ask, temperature=0)
assert "42" in reply.choices[0].message.content and reply.usage.completion_tokens
with client.chat.completions.stream(
    model="nano", messages=ask, temperature=0, stream_options={"include_usage": True}
) as stream:
    events = list(stream)
final = stream.get_final_completion()
assert final.choices[0].message.content == reply.choices[0].message.content and final.usage.total_tokens
called = client.chat.completions.create(
    model="nano", messages=[{"role": "user", "content": "How is the weather in Oslo?"}], tools=[weather],
    tool_choice="required", temperature=0,
)  # fmt: skip
call = called.choices[0].message.tool_calls[0]
assert call.function.name == "get_weather" and called.choices[0].finish_reason == "tool_calls"
history = [{"role": "user", "content": "How is the weather in Oslo?"}, called.choices[0].message,
           {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]  # fmt: skip
assert client.chat.completions.create(model="nano", messages=history, tools=[weather]).choices[0].message
parsed = client.chat.completions.parse(model="nano", messages=ask, response_format=Sum, temperature=0, max_tokens=200)
assert isinstance(parsed.choices[0].message.parsed, Sum)
completion = client.completions.create(model="nano", prompt=[5, 6, 7], max_tokens=4, temperature=0, logprobs=1)
assert len(completion.choices[0].logprobs.token_logprobs) <= 4
response = client.responses.create(model="nano", input="What is 17 + 25?", temperature=0)
assert response.output_text == reply.choices[0].message.content and response.usage.output_tokens
with client.responses.stream(model="nano", input="What is 17 + 25?", temperature=0) as stream:
    deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
    assert "".join(deltas) == stream.get_final_response().output_text == response.output_text
flat = {"type": "function", **weather["function"], "strict": True}
called = client.responses.create(
    model="nano", input="How is the weather in Oslo?", tools=[flat], tool_choice="required", temperature=0
).output[0]  # fmt: skip
output = {"type": "function_call_output", "call_id": called.call_id, "output": "sunny"}
history = [{"role": "user", "content": "How is the weather in Oslo?"}, called.model_dump(exclude={"id"}), output]
assert client.responses.create(model="nano", input=history, tools=[flat], temperature=0).status == "completed"
try:
    client.chat.completions.create(model="nano", messages=ask, logit_bias={"5": 1})
    raise SystemExit("it was ignored in silence")
except openai.BadRequestError as error:
    assert error.param == "logit_bias"
print("ok")
