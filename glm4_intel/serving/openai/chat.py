"""`/v1/chat/completions`."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.responses import Response

from ...chat.conversation import Conversation
from ...chat.generation import Chunk, Reply, Usage
from ...replies import ReplyInProgress
from ..bodies import parse
from ..errors import BadRequest
from ..hall import Hall
from ..served import Served, told_by_field
from ..streams import Receive, answered, event, first_call, side_by_side
from .messages import plain_messages, plain_tools, strict_names
from .sampling import Sampling, collected, require_likeliest, stream_fault, usage, written_tokens

_REFUSED = {
    "audio": "GLM-4 writes text", "prediction": "the engine guesses by itself (--prompt-lookup)",
    "web_search_options": "this server searches nothing", "reasoning_effort": "GLM-4 has no such setting",
    "verbosity": "GLM-4 has no such setting", "functions": "give tools instead",
    "function_call": "give tool_choice instead",
}  # fmt: skip


class ChatRequest(Sampling):
    """The body."""

    messages: list[dict[str, Any]]
    max_completion_tokens: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    modalities: list[str] | None = None
    store: bool | None = None
    service_tier: Literal["auto", "default"] | None = None
    audio: Any = None
    prediction: Any = None
    web_search_options: Any = None
    reasoning_effort: Any = None
    verbosity: Any = None
    functions: Any = None
    function_call: Any = None

    def check(self) -> None:
        """Raises BadRequest for what can't be done."""
        self.refuse(_REFUSED)
        self.refuse({"modalities": "GLM-4 writes text"}, empty=(["text"],))
        self.require_streamable()
        self.refuse({"store": "this server keeps nothing"}, empty=(False,))
        if self.max_completion_tokens is not None and self.max_tokens not in (None, self.max_completion_tokens):
            raise BadRequest("max_tokens and max_completion_tokens differ", "Give one.", "max_completion_tokens")
        if self.top_logprobs and not (self.logprobs and self.top_logprobs == 1):
            raise BadRequest(
                f"top_logprobs is {self.top_logprobs}", "Give 1, and logprobs: the engine tells of the taken token.",
                "top_logprobs",
            )  # fmt: skip

    def overrides(self, index: int = 0) -> dict[str, Any]:
        """See Sampling."""
        longest = self.max_completion_tokens
        if longest is not None and longest < 1:
            raise BadRequest(f"max_completion_tokens is {longest}", "It must be 1 or more.", "max_completion_tokens")
        return super().overrides(index) | ({} if longest is None else {"max_new_tokens": longest})


@dataclass
class Chat:
    """One request that is being answered."""

    model: Served
    body: ChatRequest
    replies: Sequence[ReplyInProgress]
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    @classmethod
    async def begin(cls, hall: Hall, data: Any) -> "Chat":
        """Read a body, and prepare its replies. Raises ServerError."""
        body = parse(ChatRequest, data)
        body.check()
        model = hall.model(body.model)
        with told_by_field():
            conversation = Conversation.parse(
                plain_messages(body.messages), plain_tools(body.tools), body.tool_choice, body.response_format,
                strict_names(body.tools),
            )  # fmt: skip
        replies = [
            await model.begin(conversation, body.overrides(index), bool(body.logprobs)) for index in range(body.choices)
        ]
        if body.top_logprobs:
            require_likeliest(replies[0], "top_logprobs")
        return cls(model, body, replies)

    def streams(self) -> list[AsyncGenerator[Chunk, None]]:
        """The replies' chunks."""
        one = self.body.parallel_tool_calls is False
        return [first_call(self.model.chunks(reply), one) for reply in self.replies]

    async def answer(self) -> dict[str, Any]:
        """The whole of it."""
        written = await asyncio.gather(*(collected(stream) for stream in self.streams()))
        usages = [Reply.join(chunks).usage for chunks in written]
        return self._head("chat.completion") | {
            "choices": [self._choice(index, chunks) for index, chunks in enumerate(written)],
            "usage": usage([usages]),
        }

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model.name}

    def _choice(self, index: int, chunks: Sequence[Chunk]) -> dict[str, Any]:
        reply = Reply.join(chunks)
        message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None}
        if reply.tool_calls:
            message |= {"content": reply.text or None, "tool_calls": [call.message() for call in reply.tool_calls]}
        if reply.reasoning:
            message["reasoning_content"] = reply.reasoning
        logprobs = self._logprobs([each for chunk in chunks for each in written_tokens(self.model, chunk)])
        return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": reply.finish_reason}

    def _logprobs(self, tokens: Sequence[tuple[int, float]]) -> dict[str, Any] | None:
        if not self.body.logprobs:
            return None
        return {"content": [self._token(id, logprob) for id, logprob in tokens], "refusal": None}

    def _token(self, id: int, logprob: float) -> dict[str, Any]:
        told = self.model.tokenizer.token_bytes(id)
        token = {"token": told.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(told)}
        return token | {"top_logprobs": [token] if self.body.top_logprobs else []}

    async def events(self) -> AsyncGenerator[Mapping[str, Any], None]:
        """The chunks of a stream."""
        usages: list[Usage] = []
        begun: set[int] = set()
        async with aclosing(side_by_side(self.streams())) as arriving:
            async for index, chunk in arriving:
                if index not in begun:
                    begun.add(index)
                    yield self._chunk(index, {"role": "assistant", "content": ""})
                for told in self._told(index, chunk):
                    yield told
                usages += [chunk.usage] if chunk.usage else []
        if self.body.include_usage:
            yield self._head("chat.completion.chunk") | {"choices": [], "usage": usage([usages])}

    def _told(self, index: int, chunk: Chunk) -> Iterator[Mapping[str, Any]]:
        logprobs = self._logprobs(list(written_tokens(self.model, chunk))) if chunk.token_ids else None
        deltas = _deltas(chunk) or ([{}] if logprobs else [])
        for place, delta in enumerate(deltas):
            yield self._chunk(index, delta, logprobs=None if place else logprobs)
        if chunk.finish_reason:
            yield self._chunk(index, {}, chunk.finish_reason)

    def _chunk(
        self, index: int, delta: Mapping[str, Any], reason: str | None = None, logprobs: Any = None
    ) -> Mapping[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        unknown_yet = {"usage": None} if self.body.include_usage else {}
        return self._head("chat.completion.chunk") | {"choices": [choice]} | unknown_yet


def _deltas(chunk: Chunk) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = []
    if chunk.reasoning:
        deltas.append({"reasoning_content": chunk.reasoning})
    if chunk.text:
        deltas.append({"content": chunk.text})
    for delta in chunk.tool_call_deltas:
        named = {"id": delta.id, "type": "function"} if delta.name else {}
        function = {"name": delta.name} if delta.name else {}
        call = {"index": delta.index, **named, "function": {**function, "arguments": delta.arguments}}
        deltas.append({"tool_calls": [call]})
    return deltas


async def answer(hall: Hall, data: Any) -> dict[str, Any]:
    """A body's whole answer, without a client that could leave. Raises ServerError."""
    chat = await Chat.begin(hall, data)
    with chat.model.admission.places(len(chat.replies)):
        return await chat.answer()


async def create(hall: Hall, data: Any, receive: Receive) -> Response:
    """The answer to a request."""
    chat = await Chat.begin(hall, data)
    places = chat.model.admission.places(len(chat.replies))
    return await answered(chat, chat.body.stream, receive, places, event, stream_fault, "data: [DONE]\n\n")
