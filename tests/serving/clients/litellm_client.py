"""LiteLLM against a server, whose address is the argument. Run by test_clients.py."""

import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm  # noqa: E402

litellm.telemetry = False
base = f"{sys.argv[1]}/v1"
ask = [{"role": "user", "content": "What is 17 + 25?"}]
city = {"type": "string", "enum": ["Oslo", "Rome"]}
schema = {"type": "object", "properties": {"city": city}, "required": ["city"]}
weather = {"type": "function", "function": {"name": "get_weather", "description": "Get the current weather",
                                            "parameters": schema}}  # fmt: skip
common = {"api_base": base, "api_key": "none", "num_retries": 0}

reply = litellm.completion(model="openai/nano", messages=ask, temperature=0, **common)
assert "42" in reply.choices[0].message.content and reply.usage.total_tokens
chunks = list(litellm.completion(model="openai/nano", messages=ask, temperature=0, stream=True,
                                 stream_options={"include_usage": True}, **common))  # fmt: skip
assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == (
    reply.choices[0].message.content
)
called = litellm.completion(model="openai/nano", messages=[{"role": "user", "content": "How is the weather in Oslo?"}],
                            tools=[weather], tool_choice="required", temperature=0, **common)  # fmt: skip
assert called.choices[0].message.tool_calls[0].function.name == "get_weather"
text = litellm.text_completion(model="text-completion-openai/nano", prompt="What is", max_tokens=5, **common)
assert text.choices[0].text is not None
claude = litellm.completion(model="anthropic/nano", messages=ask, temperature=0, max_tokens=50, api_key="none",
                            api_base=sys.argv[1])  # fmt: skip
assert "42" in claude.choices[0].message.content
llama = litellm.completion(model="ollama_chat/nano", messages=ask, temperature=0, api_base=sys.argv[1])
assert "42" in llama.choices[0].message.content
try:
    litellm.completion(model="openai/gpt", messages=ask, **common)
    raise SystemExit("there is no such model")
except litellm.exceptions.NotFoundError:
    pass
print("ok")
