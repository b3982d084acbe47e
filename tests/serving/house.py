"""The server in this process over a scripted engine, and over the nano model's own in its process."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import httpx

from glm4_demos.nano import CHECKPOINT
from glm4_intel.backends import Request
from glm4_intel.backends.scoring import Scores
from glm4_intel.serving.admission import Admission
from glm4_intel.serving.app import application
from glm4_intel.serving.engine import Facts, Piece
from glm4_intel.serving.errors import ServerError
from glm4_intel.serving.hall import Hall
from glm4_intel.serving.metrics import Metrics
from glm4_intel.serving.names import Names
from glm4_intel.serving.served import Served
from scripted import TOKENIZER, ScriptedBackend

__all__ = ["CHECKPOINT", "Facts", "ScriptedEngine", "client", "served"]


class ScriptedEngine:
    """The scripted backend as a server's engine. See Engine."""

    def __init__(
        self, replies: Sequence[Sequence[int] | ServerError], context: int = 2048, cached: int | None = None
    ) -> None:
        self.facts: Facts | None = Facts(context, context - 1, "CPU", scoring=True)
        self.cached = cached
        self.live, self.cache, self.restarts = 0, 0.0, 0
        self._replies = iter(replies)
        self.requests: list[Request] = []
        self.left = 0
        """Replies that were closed before their end."""
        self.hold: asyncio.Event | None = None
        """Where set, what every reply waits for before its first id."""

    async def ready(self) -> Facts:
        assert self.facts
        return self.facts

    async def stream(self, request: Request) -> AsyncGenerator[Piece, None]:
        reply = next(self._replies)
        self.requests.append(request)
        self.live += 1
        self.left += 1
        try:
            if self.hold:
                await self.hold.wait()
            if isinstance(reply, ServerError):
                raise reply
            for id in ScriptedBackend([reply]).stream(request, lambda: False):
                await asyncio.sleep(0)
                yield Piece([id], [-0.5] if request.logprobs else [], self.cached)
                if id in request.params.stop_token_ids:
                    break
            self.left -= 1
        finally:
            self.live -= 1

    async def score(self, ids: Sequence[int], top: int) -> AsyncGenerator[Scores, None]:
        for at in range(len(ids)):
            likeliest = [ids[at + 1]] if at + 1 < len(ids) else [7]
            yield Scores([-0.5] if at + 1 < len(ids) else [], [*likeliest, *range(50, 49 + top)], [-0.5] * top)

    async def close(self) -> None:
        """Nothing."""


def served(engine: Any, queue: int = 8, **options: Any) -> Served:
    metrics = Metrics()
    return Served(
        name="nano", engine=engine, admission=Admission(engine, queue), metrics=metrics,
        **({"tokenizer": TOKENIZER} | options),
    )  # fmt: skip


def client(
    *replies: Sequence[int] | ServerError,
    engine: Any = None,
    door: dict[str, Any] | None = None,
    names: Names | None = None,
    **options: Any,
) -> httpx.AsyncClient:
    """A client of a server whose model gives these replies."""
    model = served(engine or ScriptedEngine(replies), **options)
    app = application(Hall({"nano": model}, model.metrics), names or Names("127.0.0.1"), **(door or {}))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")
