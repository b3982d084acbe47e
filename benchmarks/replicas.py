"""Two replicas on one machine: the answers of one, prefixes where they are, and one replica killed under load.

    python benchmarks/replicas.py DIR [--conversations 24] [--turns 4]

DIR is the nano model's directory; needs the extra `ray`. Conversations grow by a turn at a time, several at once, first
routed by prefix, then to the least loaded; told is how much of the prompts the replica had read before. Then the same
load goes on while a replica's process is killed: every answer must be right, or told to have failed.
"""

import argparse
import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from ray import serve

from environment import environment
from glm4_intel.backends import LoadOptions, Request
from glm4_intel.chat.generation import GenerationParams
from glm4_intel.chat.tokenizer import ChatTokenizer
from glm4_intel.serving.engine import Engine, EngineProcess
from glm4_intel.serving.errors import Unavailable
from glm4_intel.serving.replicas import ReplicatedEngine
from glm4_intel.serving.settings import ReplicaSettings

_LOAD = LoadOptions(profile="throughput", warmup=False)
_RULES = {"by prefix": 0.3, "to the least loaded": float("inf")}
"""The share of a prompt that a replica must hold to be preferred for it."""
_AT_ONCE = 6
_FAILED = "told as failed"


@dataclass(frozen=True)
class Talks:
    """Conversations whose every turn begins with all that came before; `start` makes them new to every cache."""

    tokenizer: ChatTokenizer
    count: int
    turns: int
    start: str
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    async def answers(self, engine: Engine) -> list[str]:
        """All answers, a conversation after another."""
        talks = await asyncio.gather(*(self._talk(engine, number) for number in range(self.count)))
        return [answer for talk in talks for answer in talk]

    async def _talk(self, engine: Engine, number: int) -> list[str]:
        messages, answers = list[dict[str, str]](), list[str]()
        for turn in range(self.turns):
            intro = "" if turn else f"{self.start} {number}. " * 16
            messages.append({"role": "user", "content": f"{intro}What is {number} + {turn}?"})
            async with self.places:
                answers.append(await self._answer(engine, self.tokenizer.encode(messages)))
            messages.append({"role": "assistant", "content": answers[-1]})
        return answers

    async def _answer(self, engine: Engine, ids: list[int]) -> str:
        params = GenerationParams(max_new_tokens=40, temperature=0, stop_token_ids=self.tokenizer.stop_ids)
        try:
            written = [id async for piece in engine.stream(Request(ids=ids, params=params)) for id in piece.ids]
        except Unavailable:
            return _FAILED
        return self.tokenizer.decode(written).strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--conversations", type=int, default=24)
    parser.add_argument("--turns", type=int, default=4)
    args = parser.parse_args()
    print(environment())
    asyncio.run(_compare(args.model, args.conversations, args.turns))


async def _compare(model: Path, count: int, turns: int) -> None:
    tokenizer = ChatTokenizer.from_directory(model)
    talks = {name: Talks(tokenizer, count, turns, name.title()) for name in (*_RULES, "killed")}
    alone = EngineProcess(model, _LOAD)
    await alone.start()
    right = {name: await each.answers(alone) for name, each in talks.items()}
    await alone.close()
    engine = ReplicatedEngine("glm4-nano", model, _LOAD, 120.0, ReplicaSettings(count=2))
    try:
        await engine.start()
        for name in _RULES:
            print(await _routed(engine, talks[name], name, right[name]), flush=True)
        print(await _killed(engine, talks["killed"], right["killed"]))
    finally:
        await engine.close()


async def _routed(engine: ReplicatedEngine, talks: Talks, rule: str, right: list[str]) -> str:
    routing = engine.routing
    routing.least_share, routing.asked, routing.found = _RULES[rule], 0, 0
    started = time.monotonic()
    told = await talks.answers(engine)
    seconds, held = time.monotonic() - started, routing.found / routing.asked
    return f"routed {rule}: {_judged(told, right)}; {held:.0%} of the prompts' blocks were held; {seconds:.1f} s"


async def _killed(engine: ReplicatedEngine, talks: Talks, right: list[str]) -> str:
    """Kill a replica's process while it answers, and ask until there are two again."""
    engine.routing.least_share = _RULES["by prefix"]
    asking = asyncio.create_task(talks.answers(engine))
    await asyncio.sleep(0.5)
    _replicas()[0].kill()
    killed = time.monotonic()
    told = await asking
    answered = time.monotonic() - killed
    for running in (1, 2):  # first Ray has to notice
        while _running(engine.name) != running:
            await asyncio.sleep(0.1)
    seconds = time.monotonic() - killed
    again = await talks.answers(engine)
    return (f"one killed: {_judged(told, right)}, all answered {answered:.1f} s later; two again after "
            f"{seconds:.1f} s: {_judged(again, right)}")  # fmt: skip


def _replicas() -> list[psutil.Process]:
    return [each for each in psutil.Process().children(True) if each.cmdline()[:1] and "Replica" in each.cmdline()[0]]


def _running(name: str) -> int:
    """Replicas that Ray has ready."""
    states = serve.status().applications[name].deployments["Replica"].replica_states
    return int(states.get("RUNNING", 0))


def _judged(told: list[str], right: list[str]) -> str:
    pairs = zip(told, right, strict=True)
    counts = Counter("right" if mine == its else _FAILED if mine == _FAILED else "wrong" for mine, its in pairs)
    return ", ".join(f"{count} {name}" for name, count in counts.items())


if __name__ == "__main__":
    main()
