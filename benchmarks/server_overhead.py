"""What a server costs over the bare engine loop: milliseconds a step with 16 replies, in turns in one run.

    python benchmarks/server_overhead.py DIR [--streams 16] [--tokens 64] [--rounds 5]

"bare" is a loop over OpenVINO GenAI's ContinuousBatchingPipeline with the server's own settings: step, and read the
ids. "served" is `glm4-intel serve` with as many clients that stream, in this process. A step is a reply's time from its
first token to its last, by the tokens between; the server counts it itself (/metrics), where an event of a stream may
have several tokens or none. A 9B-wide model that fits anywhere: make_checkpoint with 4 layers.
"""

import argparse
import asyncio
import json
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import openvino

from environment import environment
from glm4_intel import model_directory
from glm4_intel.backends import LoadOptions, Request, engine_for
from glm4_intel.backends.genai.config import generation_config
from glm4_intel.backends.genai.paged import paged_pipeline
from glm4_intel.chat.generation import GenerationParams
from glm4_intel.chat.tokenizer import ChatTokenizer
from glm4_intel.devices import Machine
from serving import api


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print(environment())
    with api(args.model, "--context", "2048") as (address, _):
        ways: dict[str, Callable[[], float]] = {
            "bare": Bare(args.model, args.streams, args.tokens).step,
            "served": lambda: asyncio.run(_served(address, args.streams, args.tokens)),
        }
        for step in ways.values():  # repacks the weights, and fills the prefix cache
            step()
        rounds = list[dict[str, float]]()
        for _ in range(args.rounds):
            rounds.append({name: step() for name, step in ways.items()})
            print(", ".join(f"{name} {each * 1000:.1f} ms" for name, each in rounds[-1].items()), flush=True)
    bare, served = (statistics.median(each[name] for each in rounds) * 1000 for name in ways)
    ratio = statistics.median(each["served"] / each["bare"] for each in rounds)
    print(f"{args.streams} replies: bare {bare:.1f}, served {served:.1f} ms a step; round by round {ratio:.3f}")


def _question(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"Tell me a long story about the number {number}."}]


class Bare:
    """The engine's pipeline, and nothing around it."""

    def __init__(self, model: Path, streams: int, tokens: int) -> None:
        directory, options = model_directory.read(model), LoadOptions(profile="throughput")
        options = replace(options, engine=replace(options.engine, context=2048))
        plan = engine_for(directory, options.backend).plan(directory, options, Machine())
        self._pipeline, tokenizer = paged_pipeline(plan)[0], ChatTokenizer.from_directory(model)
        params = GenerationParams(max_new_tokens=tokens, temperature=0, ignore_eos=True)
        self._config = generation_config(Request(ids=[], params=params), plan.engine)
        self._prompts = [np.array([tokenizer.encode(_question(number))], np.int64) for number in range(streams)]

    def step(self) -> float:
        """Seconds that a step took."""
        handles = {
            number: self._pipeline.add_request(number, openvino.Tensor(prompt), self._config)
            for number, prompt in enumerate(self._prompts)
        }
        times: dict[int, list[float]] = {number: [] for number in handles}
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()
            now = time.perf_counter()
            for number, handle in handles.items():
                while handle.can_read():
                    times[number] += [now] * sum(len(each.generated_ids) for each in handle.read().values())
        return statistics.median(_step(each[0], each[-1], len(each)) for each in times.values())


async def _served(address: str, streams: int, tokens: int) -> float:
    async with httpx.AsyncClient(base_url=address, timeout=600) as web:
        before = await _told(web)
        await asyncio.gather(*(_stream(web, number, tokens) for number in range(streams)))
        after = await _told(web)
    return (after["sum"] - before["sum"]) / (after["count"] - before["count"])


async def _told(web: httpx.AsyncClient) -> dict[str, float]:
    """The sum of the times per token that the server has counted, and their number."""
    text = (await web.get("/metrics")).text
    return {name: float(value) for name, value in re.findall(r"^glm4_time_per_token_seconds_(\w+) (\S+)", text, re.M)}


async def _stream(web: httpx.AsyncClient, number: int, tokens: int) -> None:
    body = {"messages": _question(number), "max_tokens": tokens, "temperature": 0, "ignore_eos": True, "stream": True,
            "stream_options": {"include_usage": True}}  # fmt: skip
    async with web.stream("POST", "/v1/chat/completions", json=body) as answer:
        lines = [line async for line in answer.aiter_lines() if line.startswith("data: {")]
    assert json.loads(lines[-1][6:])["usage"]["completion_tokens"] == tokens, lines[-1]


def _step(first: float, last: float, tokens: int) -> float:
    return (last - first) / (tokens - 1)


if __name__ == "__main__":
    main()
