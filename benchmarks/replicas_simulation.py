"""From 1 to 1,000 replicas: how much of the prompts is in a KV cache already, and when the first token comes.

    python benchmarks/replicas_simulation.py TRACE.jsonl [--replicas 1 10 100 1000] [--load 0.015]

TRACE is one of Mooncake's (github.com/kvcache-ai/Mooncake, FAST25-release/traces/conversation_trace.jsonl): when real
requests came, their lengths, and the keys of their prompts' blocks of 512 tokens. The routing is the server's own code
(glm4_intel/serving/routing.py); the replicas are simulated. The load grows with the replicas: of the trace's
conversations so many are taken, or copied and shifted by up to a minute, that `--load` requests a second come for each
replica on average. Block 0, with which every prompt of the trace begins, is the same in all copies.

A replica reads one prompt after another at `--reading` tokens a second, less what its cache holds, and writes up to 16
replies at a time at `--step` seconds a token, which reading does not slow down.
"""

import argparse
import heapq
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from glm4_intel.serving.routing import PrefixRouting

_BLOCK, _AT_ONCE, _SHIFT = 512, 16, 60.0
"""Tokens of the trace's blocks, replies that a replica writes at once, and seconds that a copy is shifted by."""
_APART = 10_000_000
"""Between the keys of one copy and those of the next."""
_RULES = {"prefix": 0.3, "least": float("inf")}
"""The share of a prompt that a replica must hold to be preferred for it."""


@dataclass(frozen=True, order=True)
class Asked:
    """A request of the trace; the time in seconds."""

    time: float
    prompt: int
    reply: int
    keys: Sequence[int]


@dataclass
class Replica:
    """When a replica has read what was sent to it, and when its replies end."""

    read: float = 0.0
    ends: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trace", type=Path)
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 3, 10, 30, 100, 300, 1000])
    parser.add_argument("--load", type=float, default=0.015, help="requests a second for each replica")
    parser.add_argument("--reading", type=float, default=300, help="tokens of a prompt a second")
    parser.add_argument("--step", type=float, default=0.124, help="seconds a token with 16 replies")
    parser.add_argument("--cache", type=int, default=95_000, help="tokens that a replica's KV cache holds")
    parser.add_argument("--ahead", type=float, default=16, help="replies more than the least loaded that are too many")
    args = parser.parse_args()
    trace = read(args.trace)
    print("| replicas | requests | rule | held by a cache | TTFT p50 | p90 | p99 |\n|---|---|---|---|---|---|---|")
    for count in args.replicas:
        asked = scaled(trace, args.load * count)
        for rule, share in _RULES.items():
            routing = PrefixRouting(args.cache // _BLOCK, share, args.ahead)
            firsts = sorted(simulate(asked, routing, count, args.reading, args.step))
            p50, p90, p99 = (firsts[int(len(firsts) * share)] for share in (0.5, 0.9, 0.99))
            held = routing.found / routing.asked
            print(f"| {count:,} | {len(asked):,} | {rule} | {held:.1%} | {p50:.1f} s | {p90:.1f} s | {p99:.1f} s |",
                  flush=True)  # fmt: skip


def read(trace: Path) -> list[Asked]:
    """The requests of a trace, in order."""
    lines = map(json.loads, trace.read_text().splitlines())
    return [Asked(line["timestamp"] / 1000, line["input_length"], line["output_length"], line["hash_ids"])
            for line in lines]  # fmt: skip


def scaled(trace: Sequence[Asked], rate: float) -> list[Asked]:
    """The trace with so many requests a second: whole conversations, taken or copied."""
    copies, draw, made = rate * trace[-1].time / len(trace), random.Random(0), list[Asked]()
    for copy in range(int(copies) + 1):
        share, shift, taken = copies - copy, draw.uniform(0, _SHIFT), dict[int, bool]()
        for each in trace:
            conversation = each.keys[min(1, len(each.keys) - 1)]
            if taken.setdefault(conversation, draw.random() < share):
                keys = [key and key + copy * _APART for key in each.keys]
                made.append(Asked(each.time + shift, each.prompt, each.reply, keys))
    return sorted(made, key=lambda each: each.time)


def simulate(
    asked: Sequence[Asked], routing: PrefixRouting, count: int, reading: float, step: float
) -> Iterator[float]:
    """The seconds from each request's coming to its first token."""
    replicas = {f"{number:04}": Replica() for number in range(count)}
    routing.keep(replicas)
    going: list[tuple[float, str]] = []
    for each in asked:
        while going and going[0][0] <= each.time:
            routing.end(heapq.heappop(going)[1])
        name = routing.choose(each.keys)
        held = routing.found
        routing.begin(name, each.keys)
        tokens = max(1, each.prompt - (routing.found - held) * _BLOCK)
        first = _first(replicas[name], each.time, tokens / reading, each.reply * step)
        heapq.heappush(going, (first + each.reply * step, name))
        yield first - each.time


def _first(replica: Replica, now: float, read: float, write: float) -> float:
    """When the first token comes; the replica is busy with the reply until its end."""
    place = heapq.heappop(replica.ends) if len(replica.ends) == _AT_ONCE else now
    replica.read = max(now, place, replica.read) + read
    heapq.heappush(replica.ends, replica.read + write)
    return replica.read


if __name__ == "__main__":
    main()
