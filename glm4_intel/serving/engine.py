"""The web process's side of an engine: requests go out, pieces of replies come back, and it lives on."""

import asyncio
import itertools
import logging
import multiprocessing
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from ..backends import LoadOptions, Request
from ..backends.scoring import Scores
from ..errors import Glm4Error
from . import engine_process
from .errors import BadRequest, EngineFailed, ServerError, Unavailable
from .link import Link
from .wire import Frame, Kind, add_frame, scores_of

log = logging.getLogger(__name__)

_PAUSES = (0.0, 1.0, 5.0, 30.0)
"""Seconds before a model is loaded again, after so many loads in a row that failed."""


@dataclass(frozen=True)
class Facts:
    """What a loaded model is."""

    context: int
    """Tokens that prompt and reply have together."""
    prompt_limit: int
    device: str
    reason: str = ""
    cached_tokens: int = 0
    """That the KV cache holds, of prompts that are gone, too; 0 where replies don't share one."""
    scoring: bool = False
    """Whether it tells how likely a text's own tokens are."""


@dataclass(frozen=True)
class Piece:
    """Further ids of a reply, and the logarithms of their probabilities where they were asked for."""

    ids: Sequence[int]
    logprobs: Sequence[float] = ()
    cached: int | None = None
    """In the first piece, how many of the prompt's tokens the engine took from its cache; None where it can't tell."""


class Engine(Protocol):
    """What the APIs need of an engine, wherever it is."""

    facts: Facts | None
    """None while no model is loaded."""
    live: int
    """Replies that are being written."""
    cache: float
    """The share of the KV cache that those may take."""
    restarts: int

    async def ready(self) -> Facts:
        """Wait until a model is loaded. Raises Unavailable where it could not be."""
        ...

    def stream(self, request: Request) -> AsyncGenerator[Piece, None]:
        """The reply in pieces. Closing the iterator ends it. Raises ServerError where the engine fails or ends."""
        ...

    def score(self, ids: Sequence[int], top: int) -> AsyncGenerator[Scores, None]:
        """How likely each of the ids is, with the `top` likeliest in its place, in pieces. Raises as `stream` does."""
        ...

    async def close(self) -> None:
        """End it, and what it writes."""
        ...


class EngineProcess:
    """An engine in a process of its own, loaded again whenever it ends or is stuck. See Engine.

    Begin with `start`. What was being written when it ended is answered with Unavailable; requests that come while a
    model is loaded again wait for it.
    """

    def __init__(
        self, directory: Path, options: LoadOptions, patience: float = 120.0,
        progress: Callable[[str, float | None], None] | None = None, scoring: bool = False,
    ) -> None:  # fmt: skip
        """`patience`: seconds without a sign of life, with a reply to write, after which it counts as stuck.

        With `scoring` the model is in memory a second time, and can `score`.
        """
        self.facts: Facts | None = None
        self.live, self.cache, self.restarts = 0, 0.0, 0
        self.failure: Glm4Error | None = None
        """Why the model could not be loaded the last time, until it is loaded."""
        self._directory, self._options, self._patience, self._scoring = directory, options, patience, scoring
        self._progress = progress or (lambda stage, share: None)
        self._numbers = itertools.count(1)
        self._replies: dict[int, asyncio.Queue[Frame | ServerError]] = {}
        self._changed = asyncio.Condition()
        self._failure: Glm4Error | None = None
        self._heard_at = 0.0
        self._link: Link | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> Facts:
        """Load the model. Raises Glm4Error where it can't be loaded."""
        self._keeping = asyncio.create_task(self._keep())
        try:
            return await self.ready()
        except Unavailable as error:
            await self.close()
            raise self._failure or error from error

    async def ready(self) -> Facts:
        """See Engine."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.facts or self._failure)
        if self.facts is None:
            raise Unavailable(f"The model could not be loaded: {self._failure}", getattr(self._failure, "hint", ""))
        return self.facts

    async def stream(self, request: Request) -> AsyncGenerator[Piece, None]:
        """See Engine."""
        count, last = 0, -1
        async with aclosing(self._answers(lambda number: add_frame(number, request))) as frames:
            async for frame in frames:
                count, last = count + len(frame.ids), frame.ids[-1] if frame.ids else last
                yield Piece(frame.ids, frame.logprobs, frame.data.get("cached"))
        if last not in request.params.stop_token_ids and count < request.params.max_new_tokens:
            raise EngineFailed(
                "The KV cache is full", "Shorten the conversation, or serve the model with more --context."
            )

    async def score(self, ids: Sequence[int], top: int) -> AsyncGenerator[Scores, None]:
        """See Engine."""
        order = partial(Frame, Kind.SCORE, ids=ids, data={"top": top})
        async with aclosing(self._answers(order)) as frames:
            async for frame in frames:
                yield scores_of(frame)

    async def _answers(self, order: Callable[[int], Frame]) -> AsyncGenerator[Frame, None]:
        """What the engine says to an order, up to its end. Raises ServerError where it ends with a fault."""
        await self.ready()
        link, number = self._link, next(self._numbers)
        assert link is not None
        replies = self._replies[number] = asyncio.Queue()
        if len(self._replies) == 1:
            self._heard_at = time.monotonic()
        link.leaving.put(order(number).encode())
        ended = False
        try:
            while isinstance(frame := await replies.get(), Frame) and frame.kind != Kind.ENDED:
                yield frame
            ended = True
            _require_faultless(frame)
        finally:
            self._replies.pop(number, None)
            if not ended:
                link.leaving.put(Frame(Kind.CANCEL, number).encode())

    async def close(self) -> None:
        """See Engine."""
        if self._keeping:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if self._link:
            await asyncio.to_thread(self._link.kill)

    async def _keep(self) -> None:
        """Load, watch, and load again."""
        failed = 0
        while True:
            link = self._link = await asyncio.to_thread(self._spawn, asyncio.get_running_loop())
            await self._watch(link)
            failed = 0 if self.facts else failed + 1
            await asyncio.to_thread(link.kill)
            await self._lose()
            self.failure = self._failure
            await asyncio.sleep(_PAUSES[min(failed, len(_PAUSES) - 1)])
            async with self._changed:
                self._failure = None
            self.restarts += 1

    def _spawn(self, loop: asyncio.AbstractEventLoop) -> Link:
        spawning = multiprocessing.get_context("spawn")
        ours, theirs = spawning.Pipe()
        process = spawning.Process(
            target=engine_process.run, daemon=True, name="glm4-engine",
            args=(theirs, self._directory, self._options, self._scoring),
        )  # fmt: skip
        process.start()
        theirs.close()  # so that the pipe ends when the process does
        link = Link(process, ours, self._heard, loop)
        link.start()
        return link

    async def _watch(self, link: Link) -> None:
        """Until the process has ended, or is stuck."""
        while not link.gone.is_set():
            try:
                await asyncio.wait_for(link.gone.wait(), min(1.0, self._patience / 4))
            except asyncio.TimeoutError:
                silent = time.monotonic() - self._heard_at
                if self.facts and self._replies and silent > self._patience:
                    log.error("the engine has been silent for %.0f s and is ended", silent)
                    return

    async def _lose(self) -> None:
        """Tell everybody who waits that the engine has ended."""
        async with self._changed:
            lost, self.facts, self.live, self.cache = self.facts is not None, None, 0, 0.0
            if not lost and self._failure is None:
                self._failure = Glm4Error("The engine's process ended while it loaded the model")
            self._changed.notify_all()
        if lost:
            log.error("the engine's process has ended; the model is loaded again")
        for replies in self._replies.values():
            replies.put_nowait(Unavailable("The engine ended before the reply did", "Ask again.", retry_after=1))

    def _heard(self, frame: Frame) -> None:
        self._heard_at = time.monotonic()
        if frame.kind in (Kind.WROTE, Kind.SCORED, Kind.ENDED):
            if replies := self._replies.get(frame.reply):
                replies.put_nowait(frame)
        elif frame.kind == Kind.ALIVE:
            self.live, self.cache = frame.data["live"], frame.data["cache"]
        elif frame.kind == Kind.LOADING:
            self._progress(frame.data["stage"], frame.data["share"])
        else:
            asyncio.ensure_future(self._loaded(frame))

    async def _loaded(self, frame: Frame) -> None:
        async with self._changed:
            if frame.kind == Kind.READY:
                self.facts, self.failure = Facts(**frame.data), None
            else:
                self._failure = Glm4Error(frame.data["message"], frame.data["hint"])
            self._changed.notify_all()


def _require_faultless(end: Frame | ServerError) -> None:
    """Raises ServerError where an answer ended with a fault."""
    if isinstance(end, ServerError):
        raise end
    if end.data:
        kind = BadRequest if end.data["refused"] else EngineFailed
        raise kind(end.data["message"], end.data["hint"])
