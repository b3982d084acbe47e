"""Many clients of one server, some of whom leave: no answer is mixed up or lost, nobody waits too long, memory stays.

    python benchmarks/load.py DIR [--clients 200] [--minutes 20] [--leave 0.2] [--queue 64]

DIR is the nano model's directory. Each client asks again and again through OpenAI's, Anthropic's or Ollama's address,
whole or in a stream, and an answer must be the one that the same question had while nothing else ran. A refused client
comes back after what Retry-After says. Who leaves does so at a random instant of the first second.

What admission promises: a reply that was let in waits behind `--queue` others at most, of which 16 are written at once.
So it waits no longer than those take: (queue / 16 + 1) times the longest tenth of the replies' own times.
"""

import argparse
import asyncio
import random
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from asking import QUESTIONS, Api, Lost, Refused, answer, ways
from environment import environment
from serving import api, engine_of

_SAMPLE = 15.0
"""Seconds between two looks at the processes' memory."""


@dataclass
class Seen:
    """What became of the requests."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    firsts: list[float] = field(default_factory=list)
    """Seconds to the first of a streamed answer that was let in."""
    wholes: list[float] = field(default_factory=list)
    """Seconds from the first of a streamed answer to its end."""
    memory: list[tuple[float, float]] = field(default_factory=list)
    """Megabytes of the web process and of the engine's."""
    told: dict[float, float] = field(default_factory=dict)
    """See `told`."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--leave", type=float, default=0.2, help="the share of requests whose client leaves")
    parser.add_argument("--queue", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(environment())
    with api(args.model, "--queue", str(args.queue)) as (address, server):
        processes = psutil.Process(server.pid), engine_of(server.pid)
        seen = asyncio.run(load(address, processes, args))
    print("\n".join(report(seen, args.queue)))


async def load(address: str, processes: tuple[psutil.Process, psutil.Process], args: argparse.Namespace) -> Seen:
    """Ask until the minutes are over."""
    async with _web(address) as web:
        right = {(each.path, number): await answer(web, each, number, False)
                 for number in range(len(QUESTIONS)) for each in ways(number)}  # fmt: skip
        seen, end = Seen(), time.monotonic() + 60 * args.minutes
        draws = [random.Random(f"{args.seed} {number}") for number in range(args.clients)]
        watching = asyncio.create_task(_watch(processes, seen))
        await asyncio.gather(*(_client(address, right, seen, draw, end, args.leave) for draw in draws))
        watching.cancel()
        seen.told = await told(web)
    return seen


async def _watch(processes: tuple[psutil.Process, psutil.Process], seen: Seen) -> None:
    while True:
        await asyncio.sleep(_SAMPLE)
        web, engine = (process.memory_info().rss / 1e6 for process in processes)
        seen.memory.append((web, engine))


def _web(address: str) -> httpx.AsyncClient:
    """A client of its own: httpx looks through all connections of one at every request."""
    return httpx.AsyncClient(base_url=address, verify=False, timeout=300)


async def told(web: httpx.AsyncClient) -> dict[float, float]:
    """How many replies had their first token after so many seconds at most, by the server's own count."""
    text = (await web.get("/metrics")).text
    found = re.findall(r'^glm4_time_to_first_token_seconds_bucket{le="([\d.]+|\+Inf)"} (\S+)', text, re.M)
    return {float(most): float(count) for most, count in found}


async def _client(
    address: str, right: dict[tuple[str, int], str], seen: Seen, draw: random.Random, end: float, leave: float
) -> None:
    async with _web(address) as web:
        while time.monotonic() < end:
            await _ask(web, right, seen, draw, leave)


async def _ask(
    web: httpx.AsyncClient, right: dict[tuple[str, int], str], seen: Seen, draw: random.Random, leave: float
) -> None:
    number = draw.randrange(len(QUESTIONS))
    api, stream, leaves = draw.choice(ways(number)), draw.random() < 0.7, draw.random() < leave
    asking = asyncio.create_task(_timed(web, api, number, stream, seen))
    try:
        text = await asyncio.wait_for(asking, draw.uniform(0, 1) if leaves else None)
    except asyncio.TimeoutError:
        seen.counts["left"] += 1
    except Refused as refused:
        seen.counts["refused"] += 1
        await asyncio.sleep(refused.seconds * draw.uniform(1, 1.3))
    except Lost as lost:
        seen.counts["lost"] += 1
        seen.faults.append(f"{api.path} {QUESTIONS[number][0][:40]!r}: {lost}")
    else:
        _judge(seen, text, right[api.path, number])


def _judge(seen: Seen, text: str, expected: str) -> None:
    seen.counts["right" if text == expected else "wrong"] += 1
    if text != expected:
        seen.faults.append(f"{text!r} instead of {expected!r}")


async def _timed(web: httpx.AsyncClient, api: Api, number: int, stream: bool, seen: Seen) -> str:
    begun, firsts = time.monotonic(), list[float]()
    text = await answer(web, api, number, stream, lambda: firsts.append(time.monotonic()))
    if stream:
        seen.firsts.append(firsts[0] - begun)
        seen.wholes.append(time.monotonic() - firsts[0])
    return text


def report(seen: Seen, queue: int) -> list[str]:
    """The lines to print."""
    names = ("right", "wrong", "lost", "left", "refused")
    promised = (queue / 16 + 1) * _at(seen.wholes, 0.9)
    first, last = seen.memory[len(seen.memory) // 10], seen.memory[-1]
    return [
        ", ".join(f"{seen.counts[name]:,} {name}" for name in names),
        f"first of an answer: p50 {_at(seen.firsts, 0.5):.2f} s, p99 {_at(seen.firsts, 0.99):.2f} s "
        f"(at most {promised:.2f} s are promised); its rest: p50 {_at(seen.wholes, 0.5):.2f} s, "
        f"p90 {_at(seen.wholes, 0.9):.2f} s",
        f"by the server's own count: p50 under {_under(seen.told, 0.5)} s, p99 under {_under(seen.told, 0.99)} s",
        *(f"memory of the {name}: {before:.0f} MB after a tenth of the time, {after:.0f} MB at the end"
          for name, before, after in zip(("web process", "engine"), first, last, strict=True)),
        *seen.faults[:20],
    ]  # fmt: skip


def _under(counts: dict[float, float], share: float) -> float:
    return next(most for most, count in counts.items() if count >= share * counts[float("inf")])


def _at(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


if __name__ == "__main__":
    main()
