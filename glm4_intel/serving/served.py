"""A model that is served: its tokenizer and template here, its engine elsewhere, and replies in chunks."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from .. import model_directory
from ..backends.options import HistoryPolicy
from ..chat.conversation import Conversation
from ..chat.generation import Chunk, GenerationParams
from ..chat.tokenizer import ChatTokenizer
from ..errors import Glm4Error
from ..replies import Replies, ReplyInProgress
from .admission import Admission
from .engine import Engine, Piece
from .errors import BadRequest, as_server_error
from .metrics import Metrics


@dataclass(frozen=True, kw_only=True)
class Served:
    """One model of a server."""

    name: str
    tokenizer: ChatTokenizer
    engine: Engine
    admission: Admission
    metrics: Metrics
    defaults: GenerationParams = GenerationParams()
    history: HistoryPolicy = "refuse"
    adapter: str | None = None
    """The engine's adapter that it stands for; None for the model's own weights."""
    most_tokens: int | None = None
    """New tokens that a reply may have at most."""
    created: int = field(default_factory=lambda: int(time.time()))

    async def replies(self) -> Replies:
        """What makes requests, once the model is loaded. Raises Unavailable."""
        facts = await self.engine.ready()
        return Replies(self.tokenizer, self.defaults, facts.context, facts.prompt_limit, self.history, self.adapter)

    async def begin(
        self, conversation: Conversation, overrides: Mapping[str, Any], logprobs: bool = False
    ) -> ReplyInProgress:
        """A reply before its first token. Raises ServerError naming the field at fault."""
        replies = await self.replies()
        with told_by_field():
            if not self.tokenizer.chats:
                raise BadRequest(f"{self.name} is a base model and knows no turns", "Use /v1/completions.", "model")
            return await asyncio.to_thread(replies.begin, conversation, self._limited(overrides), logprobs)

    async def begin_ids(
        self, ids: Sequence[int], overrides: Mapping[str, Any], logprobs: bool = False
    ) -> ReplyInProgress:
        """The same for a text's token ids."""
        replies = await self.replies()
        with told_by_field():
            return replies.begin_ids(ids, self._limited(overrides), logprobs, plain=True)

    async def chunks(self, reply: ReplyInProgress) -> AsyncGenerator[Chunk, None]:
        """The reply as it is written; the last chunk has the finish reason and the figures."""
        reply.start()
        pieces = self.engine.stream(reply.request)
        try:
            async for piece in pieces:
                reply.cached = piece.cached if reply.cached is None else reply.cached
                for chunk in _read(reply, piece):
                    yield chunk
                if reply.stopped:
                    break
        finally:
            await pieces.aclose()  # the engine ends it now, not when it is collected
        last = reply.last()
        assert last.usage and last.timing
        self.metrics.count_reply(last.usage, last.timing)
        yield last

    def _limited(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        asked = overrides.get("max_new_tokens")
        if self.most_tokens is None:
            return dict(overrides)
        if isinstance(asked, int) and asked > self.most_tokens:
            raise BadRequest(f"max_tokens is {asked}, and this server's limit {self.most_tokens}", field="max_tokens")
        return {**overrides, "max_new_tokens": min(asked or self.defaults.max_new_tokens, self.most_tokens)}


def _read(reply: ReplyInProgress, piece: Piece) -> Iterator[Chunk]:
    for id, logprob in zip_longest(piece.ids, piece.logprobs):
        if chunk := reply.read(id, logprob):
            yield chunk
        if reply.stopped:
            return


@contextmanager
def told_by_field() -> Iterator[None]:
    """The library's errors as refusals that name the field."""
    try:
        yield
    except Glm4Error as error:
        raise as_server_error(error) from error


def served(
    path: Path, engine: Engine, metrics: Metrics, *, name: str | None = None, queue: int = 64,
    history: HistoryPolicy = "refuse", most_tokens: int | None = None,
) -> Served:  # fmt: skip
    """A model directory, with the engine that its model is in. Raises Glm4Error where it is none."""
    directory = model_directory.read(path)
    return Served(
        name=name or path.resolve().name,
        tokenizer=ChatTokenizer.from_directory(directory.path),
        engine=engine,
        admission=Admission(engine, queue),
        metrics=metrics,
        defaults=GenerationParams.from_generation_config(directory.generation),
        history=history,
        most_tokens=most_tokens,
    )
