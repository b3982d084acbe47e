"""Many replies with cancellations, in every profile that runs on a CPU: how many are wrong, how many hang, what leaks.

    python benchmarks/soak.py DIR [--replies 12000] [--ways chat throughput …] [--seconds 240]

Eight threads ask at once. Of a third of the replies an end is tried: before it begins, at a random instant, after its
first chunk, or by closing its stream. Every other greedy reply must be the one that the same question had while nothing
else ran. DIR is the nano model's directory; memory is the process's, after a tenth of a way's replies and at its end:
as the system counts it, and in use, without what the C library keeps of memory that was given back (malloc_trim).
"""

import argparse
import ctypes
import gc
import random
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from environment import environment
from glm4_intel import Runtime, load
from glm4_intel.backends import EngineOptions

THREADS, PATIENCE = 8, 60.0
"""Replies at once, and the seconds after which one counts as hung."""
KV_TOKENS = 20_000
"""More than the KV cache of any way holds."""
CHOICE = {"type": "choice", "choice": ["blue whale", "blue sky", "red fox"]}
SHAPE = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
         "required": ["name", "age"], "additionalProperties": False}  # fmt: skip
QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    ("What is 17 + 25?", {}),
    ("5 + 6", {}),
    ("Count from 1 to 20.", {}),
    ("你好，请介绍一下你自己。", {}),
    *[
        ("Read the text.\n\n" + "Mira lives in Oslo. " * count + "\n\nWhere does Mira live?", {})
        for count in (1, 6, 11)
    ],
    ("Hello", {"response_format": CHOICE}),
    ("Hello", {"response_format": {"type": "json_schema", "json_schema": {"schema": SHAPE}}, "max_new_tokens": 60}),
]
WAYS: dict[str, Callable[[Path], Runtime]] = {
    "chat": lambda model: load(model),
    "long-prompt": lambda model: load(model, profile="long-prompt"),
    "throughput": lambda model: load(model, profile="throughput"),
    "throughput in 256 tokens": lambda model: load(model, profile="throughput", engine=EngineOptions(context=256)),
    "lookup": lambda model: load(model, engine=EngineOptions(prompt_lookup=True)),
    "accurate": lambda model: load(model, profile="accurate"),
    "plain": lambda model: load(model, profile="plain"),
    "optimum": lambda model: load(model, backend="optimum"),
}
UNGUIDED = ("optimum",)


@dataclass
class Result:
    """What became of one way's replies."""

    finished: int = 0
    cancelled: int = 0
    hung: int = 0
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Memory:
    """Megabytes of the process: as the system counts them, and after what nobody uses was given back."""

    resident: float
    used: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--replies", type=int, default=12_000, help="of all ways together")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--seconds", type=float, default=1e9, help="of all ways together, at most")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(environment())
    counts, megabytes = f"{'finished':>9}{'cancelled':>10}{'wrong':>6}{'hung':>5}", f"{'MB before':>10}{'after':>7}"
    print(f"{'way':26}{counts}{megabytes}{'in use':>8}{'after':>7}")
    for way in args.ways:
        with WAYS[way](args.model) as glm:
            share = len(args.ways)
            print(row(way, *soak(glm, way, args.replies // share, args.seconds / share, args.seed)), flush=True)


def soak(glm: Runtime, way: str, replies: int, seconds: float, seed: int) -> tuple[Result, Memory, Memory]:
    """So many replies from several threads; memory before and after them."""
    questions = [each for each in QUESTIONS if not each[1] or way not in UNGUIDED]
    right = [glm.generate(ask(text), temperature=0, **options).token_ids for text, options in questions]
    _fill(glm, random.Random(seed))
    result, end, before = Result(), time.monotonic() + seconds, None
    for part in (replies // 10, replies - replies // 10):  # the first fills the engine's own caches
        workers = [
            threading.Thread(
                target=_work, daemon=True, args=(glm, questions, right, result, part // THREADS, end, draw)
            )
            for draw in (random.Random(f"{seed} {number} {part}") for number in range(THREADS))
        ]
        _run(workers, result)
        after = memory()
        before = before or after
    return result, before or after, after


def _fill(glm: Runtime, draw: random.Random) -> None:
    """Use each block of the KV cache once: a new one is memory that the process had not touched before."""
    words, read = min(330, glm.context_length // 6), 0
    while read < KV_TOKENS:
        numbers = " ".join(str(draw.randrange(1000)) for _ in range(words))
        read += glm.generate(ask(numbers), max_new_tokens=1).usage.prompt_tokens


def _run(workers: list[threading.Thread], result: Result) -> None:
    """Run the threads until none of them writes a reply any more; those that are left then hang."""
    for worker in workers:
        worker.start()
    seen, since = -1, time.monotonic()
    while any(worker.is_alive() for worker in workers) and time.monotonic() - since < PATIENCE:
        time.sleep(0.05)
        if (now := result.finished + result.cancelled) != seen:
            seen, since = now, time.monotonic()
    result.hung += sum(worker.is_alive() for worker in workers)


def _work(
    glm: Runtime, questions: Any, right: Any, result: Result, count: int, end: float, draw: random.Random
) -> None:
    for _ in range(count):
        if time.monotonic() > end:
            return
        number = draw.randrange(len(questions))
        text, options = questions[number]
        ids = _reply(glm, text, options, draw)
        with result.lock:
            result.cancelled += ids is None
            result.finished += ids is not None
            if ids not in (None, right[number]):
                result.wrong.append(f"{text[:40]!r} gave {glm.tokenizer.decode(ids or (), skip_special=False)!r}")


def _reply(glm: Runtime, text: str, options: dict[str, Any], draw: random.Random) -> tuple[int, ...] | None:
    """A greedy reply's tokens; None for one that was cancelled before its end."""
    cancel, ids = threading.Event(), []
    way = draw.choice(("before", "meanwhile", "event", "close")) if draw.random() < 1 / 3 else None
    timer = threading.Timer(draw.uniform(0, 0.05) if way == "meanwhile" else 0, cancel.set)
    if way in ("before", "meanwhile"):
        timer.start()
    for chunk in (stream := glm.stream(ask(text), cancel=cancel, temperature=0, **options)):
        ids += chunk.token_ids
        if chunk.finish_reason:
            return None if chunk.finish_reason == "cancelled" else tuple(ids)
        if way == "event":
            cancel.set()
        if way == "close":
            stream.close()
    return None


def ask(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def memory() -> Memory:
    """The process's memory now."""
    resident = _megabytes()
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return Memory(resident, _megabytes())


def _megabytes() -> float:
    return float(psutil.Process().memory_info().rss) / 1e6


def row(way: str, result: Result, before: Memory, after: Memory) -> str:
    """One line of the table, and one for each wrong reply."""
    counts = f"{result.finished:9}{result.cancelled:10}{len(result.wrong):6}{result.hung:5}"
    line = f"{way:26}{counts}{before.resident:10.0f}{after.resident:7.0f}{before.used:8.0f}{after.used:7.0f}"
    return "\n  ".join([line, *result.wrong[:10]])


if __name__ == "__main__":
    main()
