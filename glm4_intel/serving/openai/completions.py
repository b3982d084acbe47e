"""`/v1/completions`: texts gone on with, given as text or as token ids."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import JSONResponse, Response

from ...chat.generation import Chunk, Reply, Usage
from ...replies import ReplyInProgress
from ..bodies import parse
from ..errors import BadRequest
from ..hall import Hall
from ..served import Served
from ..streams import Receive, answered, event, side_by_side, unless_left
from .sampling import Sampling, collected, require_likeliest, stream_fault, usage, written_tokens
from .scored import scored_text

_TOKENS = 16
"""Of a completion where nothing is said, as OpenAI has it."""
_MOST_PROMPTS = 64
_MOST_LIKELY = 5


class CompletionRequest(Sampling):
    """The body."""

    prompt: str | list[Any]
    suffix: str | None = None
    echo: bool | None = None
    best_of: int | None = None
    logprobs: int | None = None

    def check(self) -> None:
        """Raises BadRequest for what can't be done."""
        self.require_streamable()
        self.refuse({"suffix": "GLM-4 does not fill in the middle"}, empty=("",))
        self.refuse({"best_of": "replies are not ranked"}, empty=(1, self.n))
        if self.scores:
            self._check_scores()
        elif self.logprobs is not None and self.logprobs not in (0, 1):
            raise BadRequest(f"logprobs is {self.logprobs}", "Give 0 or 1: the engine tells of no others.", "logprobs")

    @property
    def scores(self) -> bool:
        """Whether it asks how likely its own text is."""
        return bool(self.echo) and self.logprobs is not None

    def _check_scores(self) -> None:
        given = (self.max_tokens, self.logprobs, self.n or 1, bool(self.stream))
        if given[0] not in (0, 1) or not 0 <= (given[1] or 0) <= _MOST_LIKELY or given[2:] != (1, False):
            raise BadRequest(
                "echo with logprobs scores the text",
                f"Give max_tokens 0 or 1, logprobs from 0 to {_MOST_LIKELY}, n 1 and no stream.", "echo",
            )  # fmt: skip
        if self.max_tokens == 1 and self.temperature != 0:
            raise BadRequest("temperature must be 0 where a text is scored: the next token is the likeliest",
                             field="temperature")  # fmt: skip

    def overrides(self, index: int = 0) -> dict[str, Any]:
        """See Sampling."""
        return super().overrides(index) | {"max_new_tokens": self.max_tokens or _TOKENS}

    def prompts(self, model: Served) -> list[list[int]]:
        """The prompts as token ids. Raises BadRequest."""
        given = self.prompt
        single = isinstance(given, str) or (given and all(_is_id(each) for each in given))
        prompts = [given] if single else list(given)
        if not 1 <= len(prompts) <= _MOST_PROMPTS:
            raise BadRequest(f"prompt has {len(prompts)} texts", f"Give 1 to {_MOST_PROMPTS}.", "prompt")
        return [prompt_ids(model, prompt) for prompt in prompts]


def prompt_ids(model: Served, prompt: Any, field: str = "prompt") -> list[int]:
    """The ids of a text, or ids as they are. Raises BadRequest."""
    if isinstance(prompt, str):
        return model.tokenizer.encode_beginning(prompt)
    most = model.tokenizer.size
    if not isinstance(prompt, list) or not prompt or not all(_is_id(each) and 0 <= each < most for each in prompt):
        raise BadRequest(f"{field} must be text, or token ids from 0 to {most - 1}", field=field)
    return prompt


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass
class Completion:
    """One request that is being answered."""

    model: Served
    body: CompletionRequest
    replies: Sequence[ReplyInProgress]
    id: str = field(default_factory=lambda: f"cmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    @classmethod
    async def begin(cls, hall: Hall, data: Any) -> "Completion":
        """Read a body, and prepare its replies. Raises ServerError."""
        body = parse(CompletionRequest, data)
        body.check()
        model = hall.model(body.model)
        logprobs, choices = body.logprobs is not None, range(body.choices)
        replies = [
            await model.begin_ids(ids, body.overrides(index), logprobs)
            for ids in body.prompts(model)
            for index in choices
        ]
        if body.logprobs:
            require_likeliest(replies[0], "logprobs")
        return cls(model, body, replies)

    async def answer(self) -> dict[str, Any]:
        """The whole of it."""
        written = await asyncio.gather(*(collected(self.model.chunks(reply)) for reply in self.replies))
        choices = [self._choice(index, chunks) for index, chunks in enumerate(written)]
        usages = [Reply.join(chunks).usage for chunks in written]
        return self._head() | {"choices": choices, "usage": self._usage(usages)}

    def _head(self) -> dict[str, Any]:
        return {"id": self.id, "object": "text_completion", "created": self.created, "model": self.model.name}

    def _usage(self, usages: Sequence[Usage]) -> dict[str, Any]:
        return usage(usages[start : start + self.body.choices] for start in range(0, len(usages), self.body.choices))

    def _choice(self, index: int, chunks: Sequence[Chunk]) -> dict[str, Any]:
        text = self._echoed(index) + "".join(chunk.text for chunk in chunks)
        tokens = [each for chunk in chunks for each in written_tokens(self.model, chunk)]
        reason = chunks[-1].finish_reason
        return {"index": index, "text": text, "logprobs": self._logprobs(tokens), "finish_reason": reason}

    def _echoed(self, index: int) -> str:
        return self.model.tokenizer.decode(self.replies[index].request.ids) if self.body.echo else ""

    def _logprobs(self, tokens: Sequence[tuple[int, float]], start: int = 0) -> dict[str, Any] | None:
        if self.body.logprobs is None:
            return None
        texts = [self.model.tokenizer.decode([id], skip_special=False) for id, _ in tokens]
        offsets = [start + sum(map(len, texts[:index])) for index in range(len(texts))]
        logprobs = [logprob for _, logprob in tokens]
        likeliest = [{text: logprob} for text, logprob in zip(texts, logprobs, strict=True)]
        return {"tokens": texts, "token_logprobs": logprobs, "text_offset": offsets,
                "top_logprobs": likeliest if self.body.logprobs else None}  # fmt: skip

    async def events(self) -> AsyncGenerator[Mapping[str, Any], None]:
        """The chunks of a stream."""
        usages: dict[int, Usage] = {}
        lengths = [0] * len(self.replies)
        if self.body.echo:
            for index in range(len(self.replies)):
                yield self._event(index, self._echoed(index))
        async with aclosing(side_by_side([self.model.chunks(reply) for reply in self.replies])) as arriving:
            async for index, chunk in arriving:
                logprobs = self._logprobs(list(written_tokens(self.model, chunk)), lengths[index])
                lengths[index] += len(chunk.text)
                yield self._event(index, chunk.text, logprobs, chunk.finish_reason)
                usages |= {index: chunk.usage} if chunk.usage else {}
        if self.body.include_usage:
            ordered = [usages[index] for index in range(len(self.replies))]
            yield self._head() | {"choices": [], "usage": self._usage(ordered)}

    def _event(self, index: int, text: str, logprobs: Any = None, reason: str | None = None) -> Mapping[str, Any]:
        choice = {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}
        unknown_yet = {"usage": None} if self.body.include_usage else {}
        return self._head() | {"choices": [choice]} | unknown_yet


@dataclass
class Scoring:
    """One request that asks how likely its texts are."""

    model: Served
    body: CompletionRequest
    texts: Sequence[Sequence[int]]

    @classmethod
    async def begin(cls, hall: Hall, body: CompletionRequest) -> "Scoring":
        """Read the texts. Raises ServerError."""
        model = hall.model(body.model)
        facts, texts = await model.engine.ready(), body.prompts(model)
        if not facts.scoring:
            raise BadRequest("echo and logprobs can't be done together by this server",
                             "Its owner can start it with --scoring.", "echo")  # fmt: skip
        if model.adapter is not None:
            raise BadRequest("Texts are scored by the model's own weights", "Name the model that the adapter is for.",
                             "model")  # fmt: skip
        longest = max(map(len, texts))
        if longest + (body.max_tokens or 0) > facts.context:
            raise BadRequest(f"A text has {longest:,} tokens, and the model's context is {facts.context:,}",
                             field="prompt")  # fmt: skip
        return cls(model, body, texts)

    async def answer(self) -> dict[str, Any]:
        """The whole of it."""
        top, further = self.body.logprobs or 0, self.body.max_tokens or 0
        scored = [await scored_text(self.model, ids, top, bool(further)) for ids in self.texts]
        told = [each.told(self.model.tokenizer, top) for each in scored]
        prompt = sum(map(len, self.texts))
        choices = [
            {"index": index, "text": "".join(each["tokens"]), "logprobs": each, "finish_reason": "length"}
            for index, each in enumerate(told)
        ]
        figures = {"prompt_tokens": prompt, "completion_tokens": further * len(told),
                   "total_tokens": prompt + further * len(told)}  # fmt: skip
        return {"id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion", "created": int(time.time()),
                "model": self.model.name, "choices": choices, "usage": figures}  # fmt: skip


async def answer(hall: Hall, data: Any) -> dict[str, Any]:
    """A body's whole answer, without a client that could leave. Raises ServerError."""
    if (body := parse(CompletionRequest, data)).scores:
        body.check()
        scoring = await Scoring.begin(hall, body)
        with scoring.model.admission.places(1):
            return await scoring.answer()
    completion = await Completion.begin(hall, data)
    with completion.model.admission.places(len(completion.replies)):
        return await completion.answer()


async def create(hall: Hall, data: Any, receive: Receive) -> Response:
    """The answer to a request."""
    if parse(CompletionRequest, data).scores:
        return JSONResponse(await unless_left(receive, answer(hall, data)))
    completion = await Completion.begin(hall, data)
    places = completion.model.admission.places(len(completion.replies))
    return await answered(completion, completion.body.stream, receive, places, event, stream_fault, "data: [DONE]\n\n")
