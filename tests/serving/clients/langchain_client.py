"""LangChain's ChatOpenAI against a server, whose address is the argument. Run by test_clients.py."""

import sys
from typing import Literal

from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class Sum(BaseModel):
    """A sum."""

    left: int
    right: int


@tool
def get_weather(city: Literal["Oslo", "Rome"]) -> str:
    """Get the current weather"""
    return "sunny"


model = ChatOpenAI(
    model="nano", base_url=f"{sys.argv[1]}/v1", api_key="none", temperature=0, max_retries=0, stream_usage=True
)
rules = SystemMessage("Be brief. " * 20)
reply = model.invoke([rules, HumanMessage("What is 17 + 25?")])
assert "42" in reply.content and reply.usage_metadata["output_tokens"], reply
again = model.invoke([rules, HumanMessage("What is 17 + 25?")])
assert again.usage_metadata["input_token_details"]["cache_read"] > 0, again.usage_metadata
chunks = list(model.stream("What is 17 + 25?"))
assert "42" in "".join(chunk.content for chunk in chunks)
assert sum((chunk.usage_metadata or {}).get("output_tokens", 0) for chunk in chunks)
asking = model.bind_tools([get_weather], tool_choice="any")
question = HumanMessage("How is the weather in Oslo?")
called = asking.invoke([question])
assert called.tool_calls[0]["name"] == "get_weather" and called.tool_calls[0]["args"]["city"] in ("Oslo", "Rome")
told = ToolMessage(get_weather.invoke(called.tool_calls[0]["args"]), tool_call_id=called.tool_calls[0]["id"])
assert model.bind_tools([get_weather], strict=True).invoke([question, called, told]).content
for method in ("json_schema", "function_calling"):
    made = model.with_structured_output(Sum, method=method).invoke("What is 17 + 25?")
    assert isinstance(made, Sum), (method, made)
responses = ChatOpenAI(
    model="nano", base_url=f"{sys.argv[1]}/v1", api_key="none", use_responses_api=True, max_retries=0
)
assert responses.invoke("What is 17 + 25?").text
assert "".join(chunk.text for chunk in responses.stream("What is 17 + 25?"))
print("ok")
