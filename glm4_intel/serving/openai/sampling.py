"""The fields that OpenAI's endpoints have in common, and the shapes of what they answer."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from ...chat.generation import Chunk, Usage
from ...replies import ReplyInProgress
from ..bodies import Fields
from ..errors import BadRequest, ServerError
from ..served import Served

MOST_CHOICES = 16
_KINDS = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded", 503: "engine_unavailable"}


class StreamOptions(Fields):
    """What a stream has besides."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Sampling(Fields):
    """How replies are drawn."""

    model: str | None = None
    n: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    user: str | None = None  # this and the next three only name a request, and change nothing of a reply
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    metadata: dict[str, str] | None = None

    @property
    def choices(self) -> int:
        """How many replies are asked for. Raises BadRequest."""
        count = 1 if self.n is None else self.n
        if not 1 <= count <= MOST_CHOICES:
            raise BadRequest(f"n is {count}", f"It must be from 1 to {MOST_CHOICES}.", "n")
        return count

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with the figures."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def require_streamable(self) -> None:
        """Raises BadRequest for what is asked of a stream and can't be done."""
        options = self.stream_options
        if options and not self.stream:
            raise BadRequest("stream_options is for a stream", "Leave it out, or say stream.", "stream_options")
        if options and options.include_obfuscation:
            raise BadRequest("include_obfuscation can't be done", field="stream_options")

    def overrides(self, index: int = 0) -> dict[str, Any]:
        """GenerationParams' own of the reply at a place; each has a seed of its own. Raises BadRequest."""
        self.refuse({"logit_bias": "the engine has no bias of single tokens"}, empty=({},))
        if self.max_tokens is not None and self.max_tokens < 1:
            raise BadRequest(f"max_tokens is {self.max_tokens}", "It must be 1 or more.", "max_tokens")
        same = ("temperature", "top_p", "top_k", "min_p", "stop", "stop_token_ids", "ignore_eos",
                "repetition_penalty", "presence_penalty", "frequency_penalty")  # fmt: skip
        overrides = {name: getattr(self, name) for name in same} | {"max_new_tokens": self.max_tokens}
        if self.seed is not None:
            overrides["seed"] = (self.seed + index) % (1 << 63)
        return overrides


def require_likeliest(reply: ReplyInProgress, field: str) -> None:
    """Raises BadRequest where the token that was taken is not the likeliest: the engine tells of no others."""
    params, guided = reply.request.params, reply.request.guide is not None
    penalties = params.presence_penalty or params.frequency_penalty or params.repetition_penalty != 1
    if guided or penalties or not params.greedy:
        raise BadRequest(
            f"{field} can't be told for tokens that were not taken: the engine has the taken one's alone",
            "Ask with temperature 0 and without penalties, where it is the likeliest, or leave it out.", field,
        )  # fmt: skip


def usage(prompts: Iterable[Sequence[Usage]]) -> dict[str, Any]:
    """The figures of a request's prompts, each with those of its replies; it is counted once however many it has.

    So are its tokens that came from the cache: those that did for all of its replies.
    """
    counted = list(prompts)
    prompt = sum(replies[0].prompt_tokens for replies in counted)
    written = sum(each.completion_tokens for replies in counted for each in replies)
    figures = {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}
    cached = [each.cached_tokens for replies in counted for each in replies]
    if any(each is None for each in cached):
        return figures
    least = sum(min(each.cached_tokens or 0 for each in replies) for replies in counted)
    return figures | {"prompt_tokens_details": {"cached_tokens": least}}


def written_tokens(model: Served, chunk: Chunk) -> Iterable[tuple[int, float]]:
    """The ids of a chunk that are text, with their logprobs."""
    pairs = zip(chunk.token_ids, chunk.logprobs, strict=False)
    return [(id, logprob) for id, logprob in pairs if id not in model.tokenizer.special_ids]


async def collected(stream: AsyncGenerator[Chunk, None]) -> list[Chunk]:
    """All chunks of a reply."""
    async with aclosing(stream) as chunks:
        return [chunk async for chunk in chunks]


def error_body(error: ServerError) -> dict[str, Any]:
    """OpenAI's shape of an error."""
    kind = _KINDS.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    told = {"message": error.told, "type": kind, "param": error.field, "code": _CODES.get(error.status)}
    return {"error": told}


def stream_fault(error: ServerError) -> Iterable[Mapping[str, Any]]:
    """What a stream ends with where the engine failed in the middle of it."""
    yield error_body(error)
