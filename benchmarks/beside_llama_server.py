"""This server beside llama.cpp's: tokens a second and the first token's time with 1, 4, 16 and 64 clients, in one run.

    python benchmarks/beside_llama_server.py GLM4_DIR MODEL.gguf --llama PATH_OF_llama-server [--clients 1 4 16 64]

Each server runs by itself while the other is stopped (SIGSTOP), on all cores, with streams of `--tokens` tokens of a
prompt of about `--prompt` tokens that differs in its first words from client to client, so that no prefix helps. Both
have a context of 2,048 for each reply, and write 16 at once. `llama-server` is built from llama.cpp's source, which is
in the source package of llama-cpp-python: `cmake -B build -DGGML_NATIVE=ON vendor/llama.cpp`, target llama-server.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from environment import environment
from serving import api, free_port, running

_WORDS = ("river", "castle", "engine", "forest", "letter", "market", "silver", "garden")


@dataclass(frozen=True)
class Result:
    """What clients saw of a server."""

    rate: float
    """Tokens a second of all of them."""
    firsts: list[float]
    """Seconds to each one's first token."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("gguf", type=Path)
    parser.add_argument("--llama", type=Path, required=True, help="the program llama-server")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    print(environment())
    print("| clients | | tokens/s | first token, median | slowest |\n|---|---|---|---|---|")
    with api(args.model, "--context", "2048") as (ours, process), llama(args.llama, args.gguf) as (theirs, other):
        servers = {"glm4-intel": (ours, process.pid), "llama.cpp": (theirs, other)}
        for address, _ in servers.values():
            asyncio.run(ask(address, 1, 8, args.prompt, "warm"))
        for clients in args.clients:
            results: dict[str, list[Result]] = {name: [] for name in servers}
            for number in range(args.rounds):
                for name, (address, _) in servers.items():
                    with stopped(*(pid for each, (_, pid) in servers.items() if each != name)):
                        told = asyncio.run(ask(address, clients, args.tokens, args.prompt, f"{clients} {number}"))
                    results[name].append(told)
            print("\n".join(row(clients, name, each) for name, each in results.items()), flush=True)


@contextmanager
def llama(program: Path, gguf: Path) -> Iterator[tuple[str, int]]:
    """llama.cpp's server: its address, and its process."""
    port, cores = free_port(), str(psutil.cpu_count(logical=False) or os.cpu_count())
    command = [str(program), "-m", str(gguf), "--port", str(port), "-c", str(16 * 2048), "-np", "16", "-t", cores]
    with running(command, f"http://127.0.0.1:{port}/health") as process:
        yield f"http://127.0.0.1:{port}", process.pid


@contextmanager
def stopped(*servers: int) -> Iterator[None]:
    """Other servers' processes don't run meanwhile."""
    processes = [each for pid in servers for each in (psutil.Process(pid), *psutil.Process(pid).children(True))]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


async def ask(address: str, clients: int, tokens: int, prompt: int, start: str) -> Result:
    """So many clients at once, each with one stream."""
    async with httpx.AsyncClient(base_url=address, timeout=1800) as web:
        begun = time.perf_counter()
        streams = [_stream(web, f"{start} {number}", tokens, prompt) for number in range(clients)]
        told = await asyncio.gather(*streams)
        seconds = time.perf_counter() - begun
    return Result(sum(count for _, count in told) / seconds, [first for first, _ in told])


async def _stream(web: httpx.AsyncClient, start: str, tokens: int, prompt: int) -> tuple[float, int]:
    """Seconds to the first token, and the tokens of the reply."""
    words = " ".join(_WORDS[place % len(_WORDS)] for place in range(prompt))
    body = {"prompt": f"{start}: {words}", "max_tokens": tokens, "temperature": 0, "ignore_eos": True,
            "stream": True, "stream_options": {"include_usage": True}}  # fmt: skip
    begun, first, count = time.perf_counter(), 0.0, 0
    async with web.stream("POST", "/v1/completions", json=body) as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            if line.startswith("data: {"):
                first = first or time.perf_counter() - begun
                usage = json.loads(line[6:]).get("usage")
                count = usage["completion_tokens"] if usage else count
    assert count == tokens, f"{count} tokens instead of {tokens}"
    return first, count


def row(clients: int, name: str, results: list[Result]) -> str:
    """A line of the table: medians of the rounds."""
    rate = statistics.median(each.rate for each in results)
    first = statistics.median(statistics.median(each.firsts) for each in results)
    slowest = statistics.median(max(each.firsts) for each in results)
    return f"| {clients} | {name} | {rate:.1f} | {first * 1000:,.0f} ms | {slowest * 1000:,.0f} ms |"


if __name__ == "__main__":
    main()
