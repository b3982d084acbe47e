"""The nano model's engine in a process of its own: it is killed, stuck, left and filled, and the next reply comes."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from conftest import ask
from glm4_intel import EngineOptions, Glm4Error
from glm4_intel.backends import LoadOptions, Request
from glm4_intel.backends.genai.config import REPLIES_AT_ONCE
from glm4_intel.chat.generation import GenerationParams
from glm4_intel.chat.guide import Form, Guide
from glm4_intel.serving.engine import EngineProcess, Piece
from glm4_intel.serving.errors import BadRequest, EngineFailed, Unavailable
from glm4_intel.serving.wire import Frame, Kind, add_frame, added_request, decode
from scripted import TOKENIZER

THROUGHPUT = LoadOptions(profile="throughput", warmup=False)


def request(text: str = "Count from 1 to 40.", tokens: int = 400, **more: Any) -> Request:
    params = GenerationParams(max_new_tokens=tokens, temperature=0, stop_token_ids=TOKENIZER.stop_ids)
    return Request(ids=TOKENIZER.encode(ask(text)), params=params, **more)


async def reply(engine: EngineProcess, asked: Request) -> tuple[str, list[float]]:
    ids, logprobs = list[int](), list[float]()
    async for piece in engine.stream(asked):
        ids += piece.ids
        logprobs += piece.logprobs
    return TOKENIZER.decode(ids).strip(), logprobs


def with_engine(
    directory: Path, work: Callable[[EngineProcess], Awaitable[None]], options: LoadOptions = THROUGHPUT, **more: Any
) -> None:
    async def run() -> None:
        engine = EngineProcess(directory, options, **more)
        await engine.start()
        try:
            await work(engine)
        finally:
            await engine.close()

    asyncio.run(run())


def pid(engine: EngineProcess) -> int:
    assert engine._link
    return int(engine._link.process.pid)


async def first_piece(engine: EngineProcess) -> Piece:
    async with aclosing(engine.stream(request())) as pieces:
        return await anext(pieces)


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        await asyncio.sleep(0.005)


def test_frames_survive_the_wire() -> None:
    asked = request(logprobs=True, guide=Guide((Form("\n", "grammar", "root ::= [é]+\n", literal=True),), "auto"))
    frames = [add_frame(7, asked), Frame(Kind.WROTE, 7, [1, 2, 151552], [-0.5, 0.0, -1.5]), Frame(Kind.CANCEL, 9)]
    back = list(decode(b"".join(frame.encode() for frame in frames)))
    assert [frame.kind for frame in back] == [Kind.ADD, Kind.WROTE, Kind.CANCEL]
    assert added_request(back[0]) == asked and back[0].reply == 7
    assert list(back[1].ids) == [1, 2, 151552] and list(back[1].logprobs) == [-0.5, 0.0, -1.5]


def test_replies_side_by_side_are_those_of_one_alone(nano: Path) -> None:
    async def work(engine: EngineProcess) -> None:
        questions = [f"What is {n} + {n}?" for n in range(11, 31)]
        alone = [await reply(engine, request(text)) for text in questions]
        together = await asyncio.gather(*(reply(engine, request(text)) for text in questions))
        assert [text for text, _ in together] == [text for text, _ in alone]
        _, logprobs = await reply(engine, request(logprobs=True))
        assert len(logprobs) > 100 and all(each <= 0 for each in logprobs)

    with_engine(nano, work)


def test_a_text_is_as_likely_as_when_it_was_written(nano: Path) -> None:
    async def work(engine: EngineProcess) -> None:
        asked = request("Count from 1 to 40. " * 5, tokens=40, logprobs=True)
        ids, logprobs, cached = list[int](), list[float](), list[int]()
        for _ in range(2):
            async for piece in engine.stream(asked):
                ids += piece.ids
                logprobs += piece.logprobs
                cached += [piece.cached] if piece.cached is not None else []
        assert cached[0] == 0 and cached[1] > 0 and ids[:40] == ids[40:]
        text, own, likeliest = [*asked.ids, *ids[:40]], list[float](), list[int]()
        scoring = asyncio.gather(*(reply(engine, request()) for _ in range(2)))  # replies go on beside it
        async for scores in engine.score(text, 1):
            own += scores.following
            likeliest += scores.ids
        assert len(own) == len(text) - 1 and likeliest[-41:-1] == ids[:40]
        assert max(abs(left - right) for left, right in zip(own[-40:], logprobs[:40], strict=True)) < 0.1
        first, second = await scoring
        assert first[0] == second[0]

    with_engine(nano, work, scoring=True)


def test_a_fault_in_scoring_is_that_texts_alone(nano: Path) -> None:
    """More of the likeliest than there are tokens: numpy refuses in the middle of the engine's loop."""

    async def work(engine: EngineProcess) -> None:
        going = asyncio.create_task(reply(engine, request()))
        await until(lambda: engine.live > 0)
        with pytest.raises(EngineFailed, match="The engine failed"):
            await anext(engine.score(request().ids, 10_000_000))
        assert (await going)[0] and engine.restarts == 0
        assert [each async for each in engine.score(request().ids, 1)]

    with_engine(nano, work, scoring=True)


def test_who_leaves_frees_its_blocks_at_once(nano: Path) -> None:
    async def work(engine: EngineProcess) -> None:
        async with aclosing(engine.stream(request())) as pieces:
            await anext(pieces)
            await until(lambda: engine.live == 1 and engine.cache > 0)
        left = time.monotonic()
        await until(lambda: engine.live == 0 and engine.cache == 0)
        assert time.monotonic() - left < 0.5

    with_engine(nano, work)


def test_more_than_the_cache_holds_waits(nano: Path) -> None:
    """With a context of 512 and no cache beyond it, replies of 300 tokens are written one at a time."""
    options = LoadOptions(profile="throughput", warmup=False, engine=EngineOptions(context=512))

    async def work(engine: EngineProcess) -> None:
        answers = await asyncio.gather(*(reply(engine, request(tokens=300)) for _ in range(12)))
        assert len({text for text, _ in answers}) == 1

    with_engine(nano, work, options)


def test_no_more_are_let_in_than_are_written_at_once(nano: Path) -> None:
    """What waits inside the pipeline would be no queue that anybody counts, and it starves some."""

    async def work(engine: EngineProcess) -> None:
        asking = [asyncio.create_task(reply(engine, request(f"What is {n} + 7?", 60))) for n in range(40)]
        most = 0
        while not all(each.done() for each in asking):
            most = max(most, engine.live)
            await asyncio.sleep(0.001)
        assert most == REPLIES_AT_ONCE

    with_engine(nano, work)


def test_a_killed_engine_is_loaded_again(nano: Path) -> None:
    async def work(engine: EngineProcess) -> None:
        expected, _ = await reply(engine, request())
        going = asyncio.create_task(reply(engine, request()))
        await until(lambda: engine.live > 0)
        os.kill(pid(engine), signal.SIGKILL)
        with pytest.raises(Unavailable):
            await going
        assert (await reply(engine, request()))[0] == expected and engine.restarts == 1

    with_engine(nano, work)


def test_a_stuck_engine_is_ended(nano: Path) -> None:
    async def work(engine: EngineProcess) -> None:
        await first_piece(engine)
        os.kill(pid(engine), signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(Unavailable):
            await reply(engine, request())
        assert time.monotonic() - started < 4
        assert (await reply(engine, request()))[0]

    with_engine(nano, work, patience=2.0)


def test_the_engine_ends_with_the_web_process(nano: Path) -> None:
    async def work(engine: EngineProcess) -> None:
        assert engine._link
        process = engine._link.process
        await first_piece(engine)
        engine._link.leaving.put(None)
        with socket.socket(socket.AF_UNIX, fileno=os.dup(engine._link.pipe.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)  # the pipe ends, as it does with a process, also for whoever waits at it
        await until(lambda: not process.is_alive())

    with_engine(nano, work)


def test_what_breaks_the_engine_is_the_requests_fault(nano: Path) -> None:
    """The engine reads a grammar in the middle of a step, and every later step would fail: it is loaded again."""

    async def work(engine: EngineProcess) -> None:
        with pytest.raises(BadRequest, match="can't guide"):
            await reply(engine, request(guide=Guide((Form("\n", "grammar", "root ::= (", literal=True),))))
        await until(lambda: engine.restarts == 1)
        assert (await reply(engine, request()))[0]

    with_engine(nano, work)


def test_a_model_that_cannot_be_loaded_again_says_why_until_it_is(nano: Path, tmp_path: Path) -> None:
    for file in nano.iterdir():
        (tmp_path / file.name).symlink_to(file)

    async def work(engine: EngineProcess) -> None:
        os.rename(tmp_path / "config.json", tmp_path / "away")
        os.kill(pid(engine), signal.SIGKILL)
        await until(lambda: engine.failure is not None, 30)
        assert "lacks config.json" in str(engine.failure)
        await until(lambda: engine.restarts == 2, 30)
        assert engine.failure, "while it is loaded again nobody knows better"
        os.rename(tmp_path / "away", tmp_path / "config.json")
        await until(lambda: engine.facts is not None, 60)
        assert engine.failure is None and (await reply(engine, request()))[0]

    with_engine(tmp_path, work)


def test_other_profiles_are_served_one_after_another(nano: Path) -> None:
    async def work(engine: EngineProcess) -> None:
        answers = await asyncio.gather(*(reply(engine, request()) for _ in range(3)))
        assert len({text for text, _ in answers}) == 1
        with pytest.raises(BadRequest, match="logprobs"):
            await reply(engine, request(logprobs=True))
        async with aclosing(engine.stream(request())) as pieces:
            await anext(pieces)
        left = time.monotonic()
        await until(lambda: engine.live == 0)
        assert time.monotonic() - left < 1

    with_engine(nano, work, LoadOptions(profile="chat", warmup=False))


def test_a_model_that_cannot_be_loaded_says_why(nano: Path) -> None:
    async def run() -> None:
        engine = EngineProcess(nano, LoadOptions(profile="fast"))
        with pytest.raises(Glm4Error, match="fast"):
            await engine.start()

    asyncio.run(run())
