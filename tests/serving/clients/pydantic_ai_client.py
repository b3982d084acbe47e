"""Pydantic AI against a server, whose address is the argument. Run by test_clients.py."""

import asyncio
import sys
from typing import Literal

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider


class Sum(BaseModel):
    """A sum."""

    left: int
    right: int


provider = OpenAIProvider(base_url=f"{sys.argv[1]}/v1", api_key="none")
settings = {"temperature": 0, "max_tokens": 300}


async def stream(agent: Agent) -> str:
    async with agent.run_stream("What is 17 + 25?") as result:
        return await result.get_output()


for kind in (OpenAIChatModel, OpenAIResponsesModel):
    model = kind("nano", provider=provider)
    agent = Agent(model, model_settings=settings, instructions="Be brief.")
    result = agent.run_sync("What is 17 + 25?")
    assert result.output and result.usage.output_tokens, kind
    assert asyncio.run(stream(agent)), kind
    made = Agent(model, output_type=NativeOutput(Sum), model_settings=settings).run_sync("What is 17 + 25?")
    assert isinstance(made.output, Sum), kind
    calling = Agent(model, output_type=Sum, model_settings=settings)  # the output is a call of a tool
    assert isinstance(calling.run_sync("What is 17 + 25?").output, Sum), kind

weather = Agent(OpenAIChatModel("nano", provider=provider), model_settings=settings)
asked: list[str] = []


@weather.tool_plain
def get_weather(city: Literal["Oslo", "Rome"]) -> str:
    """Get the current weather"""
    asked.append(city)
    return "sunny"


assert weather.run_sync("How is the weather in Oslo?").output and asked == ["Oslo"]
print("ok")
