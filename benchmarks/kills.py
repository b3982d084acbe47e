"""kill -9 of a server's engine, of its web process, of a batch and of the batch's engine, at random moments.

    python benchmarks/kills.py DIR [--kills 20] [--seed 0]

DIR is the nano model's directory. What must hold: of a killed engine, what was being answered ends rightly or is told
to have failed, and the next request is answered after about a load; of a killed web process, no answer looks whole that
is not, and no engine stays behind; a batch that is begun again has every answer once, and the right ones.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil

from asking import QUESTIONS, Failed, Lost, answer, ways
from environment import environment
from serving import api, engine_of

_CLIENTS, _JOBS = 12, 600
_ORPHAN = 5.0
"""Seconds that an engine has to end after its web process."""


class Siege:
    """A server and a batch that are killed and begun again."""

    def __init__(self, model: Path, folder: Path, draw: random.Random) -> None:
        self._model, self._draw = model, draw
        self._requests, self._answers = folder / "in.jsonl", folder / "out.jsonl"
        self.counts, self.faults, self.seconds = Counter[str](), list[str](), list[float]()
        """`seconds` are those from an engine's death to the next answer."""
        jobs = [{"custom_id": f"n{number}", "url": "/v1/chat/completions", "body": _body(number)}
                for number in range(_JOBS)]  # fmt: skip
        self._requests.write_text("".join(json.dumps(job) + "\n" for job in jobs))
        self._open()

    def _open(self) -> None:
        self._stack = ExitStack()
        self._address, self._server = self._stack.enter_context(api(self._model))

    def close(self) -> None:
        """End the server."""
        self._stack.close()

    def engine(self) -> None:
        """Kill the server's engine."""
        asyncio.run(self._strike(engine_of(self._server.pid), Failed))

    def web(self) -> None:
        """Kill the server's web process; another one is begun."""
        engine = engine_of(self._server.pid)
        asyncio.run(self._strike(psutil.Process(self._server.pid), Lost))
        self._require_gone(engine)
        self.close()
        self._open()

    def _require_gone(self, engine: psutil.Process) -> None:
        try:
            engine.wait(_ORPHAN)
        except psutil.TimeoutExpired:
            self.faults.append("an engine stayed behind")
            engine.kill()

    async def _strike(self, victim: psutil.Process, allowed: type[Lost]) -> None:
        async with httpx.AsyncClient(base_url=self._address, timeout=120) as web:
            right = [await answer(web, ways(number)[0], number, False) for number in range(len(QUESTIONS))]
            stopping = asyncio.Event()
            clients = [asyncio.create_task(self._client(web, right, stopping, allowed)) for _ in range(_CLIENTS)]
            await asyncio.sleep(self._draw.uniform(0.05, 2))
            victim.kill()
            killed = time.monotonic()
            stopping.set()
            await asyncio.gather(*clients)
            if allowed is Failed:
                self._judge(await answer(web, ways(1)[0], 1, False), right[1])
                self.seconds.append(time.monotonic() - killed)

    async def _client(
        self, web: httpx.AsyncClient, right: list[str], stopping: asyncio.Event, allowed: type[Lost]
    ) -> None:
        while not stopping.is_set():
            number = self._draw.randrange(len(QUESTIONS))
            try:
                told = await answer(web, self._draw.choice(ways(number)), number, self._draw.random() < 0.7)
            except Lost as lost:
                self.counts["told as failed" if isinstance(lost, Failed) else "cut off"] += 1
                if not isinstance(lost, allowed):
                    self.faults.append(str(lost))
                return
            self._judge(told, right[number])

    def _judge(self, told: str, right: str) -> None:
        self.counts["right" if told.strip() == right.strip() else "wrong"] += 1

    def batch(self) -> None:
        """Begin the batch, or go on with it, and kill it."""
        process = self._batch()
        time.sleep(self._draw.uniform(1, 8))
        engines = psutil.Process(process.pid).children() if process.poll() is None else []
        process.kill()
        process.wait()
        for engine in engines:
            self._require_gone(engine)

    def batch_engine(self) -> None:
        """Kill the batch's engine, which the batch gets over; then the batch."""
        process = self._batch()
        time.sleep(self._draw.uniform(1, 6))
        for child in psutil.Process(process.pid).children() if process.poll() is None else []:
            child.kill()
        time.sleep(self._draw.uniform(3, 8))
        process.kill()
        process.wait()

    def _batch(self) -> "subprocess.Popen[bytes]":
        if self._answers.exists() and self._answers.read_bytes().count(b"\n") == _JOBS:
            self.end_batch()
            self._answers.unlink()
        command = [sys.executable, "-m", "glm4_intel.cli", "batch", str(self._requests), str(self._answers)]
        return subprocess.Popen([*command, "--model", str(self._model), "--no-warmup"], stderr=subprocess.DEVNULL)

    def end_batch(self) -> None:
        """Let the batch end, and look at what it has written."""
        if self._answers.exists() and self._answers.read_bytes().count(b"\n") < _JOBS:
            self._batch().wait()
        lines = [json.loads(line) for line in self._answers.read_text().splitlines()] if self._answers.exists() else []
        texts: dict[str, set[str]] = {}
        for line in lines:
            if line["error"]:
                self.faults.append(f"the batch has {line['error']}")
                continue
            question = _question(int(line["custom_id"][1:]))
            texts.setdefault(question, set()).add(line["response"]["body"]["choices"][0]["message"]["content"])
        if lines and Counter(line["custom_id"] for line in lines) != Counter(f"n{number}" for number in range(_JOBS)):
            self.faults.append("the batch has lost answers, or has them twice")
        self.faults += [f"the batch answered {question!r} in {len(each)} ways" for question, each in texts.items()
                        if len(each) > 1]  # fmt: skip
        self.counts["whole batches"] += bool(lines)


def _question(number: int) -> str:
    return f"Count from 1 to {number % 40 + 10}."


def _body(number: int) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": _question(number)}], "temperature": 0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(environment())
    with tempfile.TemporaryDirectory() as folder:
        siege = Siege(args.model, Path(folder), random.Random(args.seed))
        ways: list[Callable[[], None]] = [siege.engine, siege.batch, siege.web, siege.batch_engine]
        for number in range(args.kills):
            ways[number % len(ways)]()
        siege.end_batch()
        siege.close()
    print(f"{args.kills} kills: " + ", ".join(f"{count} {name}" for name, count in sorted(siege.counts.items())))
    print(f"from an engine's death to the next answer: at most {max(siege.seconds, default=0):.1f} s")
    print("\n".join(siege.faults) or "nothing that should not be")


if __name__ == "__main__":
    main()
