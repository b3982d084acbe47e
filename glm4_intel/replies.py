"""Replies on both sides of an engine: a conversation becomes the request, and the ids that come back become chunks."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .backends import Request
from .backends.options import HistoryPolicy
from .chat import history as histories
from .chat.conversation import Conversation
from .chat.events import Event, ReasoningDelta, TextDelta, ToolCall, ToolCallDelta
from .chat.generation import Chunk, FinishReason, GenerationParams, Timing, Usage
from .chat.reply import PlainText, ReplyStream
from .chat.segments import Segment, tag_ids
from .chat.text_stream import TextStream
from .chat.tokenizer import ChatTokenizer
from .errors import Glm4Error

_MOMENT = 0.004
"""Seconds in which tokens share a chunk: a fast engine would otherwise wait for Python at each of them."""
_REPLY_SHARE = 4
"""Where a history is trimmed, one part in so many of the context is left for the reply."""


@dataclass(frozen=True)
class Replies:
    """What a model's replies have in common, wherever its engine is."""

    tokenizer: ChatTokenizer
    defaults: GenerationParams
    context_length: int
    """Tokens that prompt and reply have together."""
    prompt_limit: int
    """Tokens that a prompt may have at most."""
    history: HistoryPolicy = "refuse"
    adapter: str | None = None
    """The adapter of all of them; None for the model's own."""

    def begin(
        self, conversation: Conversation, overrides: Mapping[str, Any], logprobs: bool = False
    ) -> "ReplyInProgress":
        """The reply to a conversation, before its first token. `overrides` are GenerationParams'.

        Raises Glm4Error for parameters that are none, and for a prompt that leaves no room in the context.
        """
        fitted, ids = self._fitted(conversation)
        thinking = self.tokenizer.thinking(ids)
        declared = conversation.declared
        functions = [name for name, tool in declared.items() if not tool.built_in]
        reading = ReplyStream(
            declared, thinking, guided=conversation.must_call, functions=functions, literal=conversation.literal
        )
        params, guide = self._params(len(ids), overrides), conversation.guide(thinking)
        request = Request(ids=ids, params=params, guide=guide, logprobs=logprobs, adapter=self.adapter)
        truncated = len(conversation.messages) - len(fitted.messages)
        return ReplyInProgress(self.tokenizer, reading, request, truncated)

    def begin_ids(
        self, ids: Sequence[int], overrides: Mapping[str, Any], logprobs: bool = False, plain: bool = False
    ) -> "ReplyInProgress":
        """`begin` for a prompt that is token ids already, and no tools. A `plain` reply is text to the letter."""
        params = self._params(len(ids), overrides)
        request = Request(ids=ids, params=params, logprobs=logprobs, adapter=self.adapter)
        return ReplyInProgress(self.tokenizer, PlainText() if plain else ReplyStream(), request)

    def _fitted(self, conversation: Conversation) -> tuple[Conversation, list[int]]:
        """The conversation as far as the context has room for it, and its prompt."""
        if self.history == "refuse":
            return conversation, conversation.render(self.tokenizer)
        room = min(self.prompt_limit, self.context_length * (_REPLY_SHARE - 1) // _REPLY_SHARE)
        return histories.fit(conversation, self.tokenizer, room)

    def _params(self, prompt_tokens: int, overrides: Mapping[str, Any]) -> GenerationParams:
        """The parameters of one reply: the model's stop ids added, and no more tokens than the context has room for."""
        params = self.defaults.override(**overrides)
        if prompt_tokens > self.prompt_limit:
            limit = f"model's context is {self.context_length:,}"
            if self.prompt_limit < self.context_length - 1:
                limit += f", of which {self.prompt_limit:,} are for the prompt"
            raise Glm4Error(
                f"The prompt has {prompt_tokens:,} tokens, and the {limit}",
                "Shorten the text, or clear the conversation.",
            )
        ends = () if params.ignore_eos else self.tokenizer.stop_ids
        most = min(params.max_new_tokens, self.context_length - prompt_tokens)
        return replace(params, max_new_tokens=most, stop_token_ids=(*ends, *params.stop_token_ids))


class ReplyInProgress:
    """One reply on its way from ids to chunks."""

    def __init__(
        self, tokenizer: ChatTokenizer, reading: ReplyStream | PlainText, request: Request, truncated: int = 0
    ) -> None:
        self.request, self._reading, self._truncated = request, reading, truncated
        tags = tag_ids(tokenizer.special_id)
        self._text = TextStream(tokenizer.token_bytes, tags, request.params.stop)
        self._moment = 0.0 if request.params.stop else _MOMENT  # a stop text is looked for at every token
        self._started, self._shown_at = time.perf_counter(), 0.0
        self._reason: FinishReason | None = None
        self._times: list[float] = []
        self._logprobs: list[float] = []
        self._waiting: list[int] = []  # ids whose text has not been shown
        self._undecoded = 0  # where those begin that have not been decoded
        self._called = False
        self.cached: int | None = None
        """How many of the prompt's tokens the engine took from its cache, where it tells."""

    def start(self) -> None:
        """Start the clock of the reply's figures, which began when it was made."""
        self._started = time.perf_counter()

    @property
    def stopped(self) -> bool:
        """Whether the reply has come to its end: a stop text, or a token that ends it."""
        return self._reason is not None

    @property
    def stop_text(self) -> str | None:
        """The stop text that ended it."""
        return self._text.stop_text

    def read(self, id: int, logprob: float | None = None) -> Chunk | None:
        """Take the next id; the chunk that it makes certain. Ids in a moment too short to see share one."""
        now = time.perf_counter()
        self._times.append(now)
        self._waiting.append(id)
        if logprob is not None:
            self._logprobs.append(logprob)
        chunk = None
        if now - self._shown_at >= self._moment:
            self._shown_at = now
            chunk = self._chunk(self._reading.feed_segments(self._decoded()))
        if self._text.stopped or id in self.request.params.stop_token_ids:
            self._reason = "stop"
        return chunk

    def last(self, cancelled: bool = False) -> Chunk:
        """The chunk that ends the reply, with the reason and the figures."""
        rest = self._reading.feed_segments([*self._decoded(), *self._text.close()])
        events = rest + self._reading.close()
        chunk = self._chunk(events) or Chunk("", tuple(self._waiting), logprobs=tuple(self._logprobs))
        reason = self._reason or ("cancelled" if cancelled else "length")
        final: FinishReason = "tool_calls" if reason == "stop" and self._called else reason
        usage = Usage(len(self.request.ids), len(self._times), self._truncated, self.cached)
        return replace(chunk, finish_reason=final, usage=usage, timing=_timing(self._started, self._times))

    def _decoded(self) -> list[Segment]:
        """The segments of the ids that have not been decoded yet."""
        ids, self._undecoded = self._waiting[self._undecoded :], len(self._waiting)
        return self._text.feed(ids)

    def _chunk(self, events: Sequence[Event]) -> Chunk | None:
        if not events:
            return None
        text = "".join(event.text for event in events if isinstance(event, TextDelta))
        thought = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
        deltas = tuple(event for event in events if isinstance(event, ToolCallDelta))
        calls = tuple(event for event in events if isinstance(event, ToolCall))
        self._called = self._called or bool(calls)
        ids, self._waiting, self._undecoded = tuple(self._waiting), [], 0
        logprobs, self._logprobs = tuple(self._logprobs), []
        return Chunk(text, ids, calls, deltas, thought, logprobs=logprobs)


def _timing(started: float, times: Sequence[float]) -> Timing:
    if not times:
        return Timing(0.0, 0.0)
    decoding = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0
    return Timing(times[0] - started, decoding)
