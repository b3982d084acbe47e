"""The runtime: messages in, text out, on any backend. Everything that is not the engine's happens here, once."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

from .backends import Backend, Request
from .backends.options import HistoryPolicy
from .chat import history as histories
from .chat.conversation import Conversation, ToolChoice
from .chat.events import Event, ReasoningDelta, TextDelta, ToolCall, ToolCallDelta
from .chat.generation import Chunk, FinishReason, GenerationParams, Reply, Timing, Usage
from .chat.messages import RawMessage
from .chat.reply import ReplyStream
from .chat.segments import Segment, tag_ids
from .chat.text_stream import TextStream
from .chat.tokenizer import ChatTokenizer
from .errors import Glm4Error

_MOMENT = 0.004
"""Seconds in which tokens share a chunk: a fast engine would otherwise wait for Python at each of them."""
_REPLY_SHARE = 4
"""Where a history is trimmed, one part in so many of the context is left for the reply."""


class Runtime:
    """A loaded model. Any number of threads may stream from it at once. Close it to give its memory back."""

    def __init__(
        self,
        tokenizer: ChatTokenizer,
        backend: Backend,
        *,
        context_length: int,
        defaults: GenerationParams = GenerationParams(),  # noqa: B008  # frozen
        device: str = "CPU",
        device_reason: str = "",
        history: HistoryPolicy = "refuse",
    ) -> None:
        self.tokenizer = tokenizer
        self.backend = backend
        self.defaults = defaults
        self.context_length = context_length
        """Tokens that prompt and reply have together."""
        self.device = device
        self.device_reason = device_reason
        """Why AUTO took this device; empty where it was asked for."""
        self.history = history
        self.closed = False

    def __enter__(self) -> "Runtime":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the replies that are being written and give the model's memory back; further replies are refused."""
        self.closed = True
        self.backend.close()

    @property
    def prompt(self) -> ChatTokenizer:
        """The tokenizer, by the name that it had before."""
        return self.tokenizer

    def stream(
        self,
        messages: Sequence[RawMessage],
        tools: Sequence[Mapping[str, Any]] | None = None,
        cancel: threading.Event | None = None,
        response_format: Mapping[str, Any] | None = None,
        tool_choice: ToolChoice = "auto",
        **overrides: Any,
    ) -> Iterator[Chunk]:
        """The reply in chunks as it is written; the last one has the finish reason and the figures.

        Setting `cancel` from any thread, or closing the iterator, stops the engine within two tokens. `overrides`
        are GenerationParams'. `response_format` and `tool_choice` are OpenAI's, with the formats "regex" and "choice"
        added: a grammar lets nothing else through. Raises Glm4Error, before anything is generated, for malformed
        messages or parameters, for what can't be guided, and for a prompt that leaves no room in the context.
        """
        conversation = Conversation.parse(messages, tools, tool_choice, response_format)
        return self.answer(conversation, cancel, **overrides)

    def generate(
        self,
        messages: Sequence[RawMessage],
        tools: Sequence[Mapping[str, Any]] | None = None,
        cancel: threading.Event | None = None,
        response_format: Mapping[str, Any] | None = None,
        tool_choice: ToolChoice = "auto",
        **overrides: Any,
    ) -> Reply:
        """The whole reply: the join of `stream`."""
        return Reply.join(self.stream(messages, tools, cancel, response_format, tool_choice, **overrides))

    def answer(
        self, conversation: Conversation, cancel: threading.Event | None = None, **overrides: Any
    ) -> Iterator[Chunk]:
        """`stream` for a conversation that has been parsed."""
        fitted, ids = self._fitted(conversation)
        thinking = self.tokenizer.thinking(ids)
        declared = conversation.declared
        functions = [name for name, tool in declared.items() if not tool.built_in]
        reading = ReplyStream(
            declared, thinking, guided=conversation.must_call, functions=functions, literal=conversation.literal
        )
        request = Request(ids=ids, params=self._params(len(ids), overrides), guide=conversation.guide(thinking))
        truncated = len(conversation.messages) - len(fitted.messages)
        return self._stream(request, reading, cancel, truncated)

    def stream_ids(
        self, ids: Sequence[int], cancel: threading.Event | None = None, **overrides: Any
    ) -> Iterator[Chunk]:
        """`stream` for a prompt that is token ids already, and no tools."""
        request = Request(ids=ids, params=self._params(len(ids), overrides))
        return self._stream(request, ReplyStream(), cancel)

    def _stream(
        self, request: Request, reading: ReplyStream, cancel: threading.Event | None, truncated: int = 0
    ) -> Iterator[Chunk]:
        reply = _ReplyInProgress(self.tokenizer, reading, request, truncated)
        return reply.chunks(self.backend, cancel.is_set if cancel else _never)

    @property
    def prompt_limit(self) -> int:
        """Tokens that a prompt may have at most."""
        return min(self.backend.prompt_limit or self.context_length, self.context_length - 1)

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


class _ReplyInProgress:
    """One reply on its way from ids to chunks."""

    def __init__(self, tokenizer: ChatTokenizer, reading: ReplyStream, request: Request, truncated: int) -> None:
        self._request, self._params, self._reading, self._truncated = request, request.params, reading, truncated
        tags = tag_ids(tokenizer.special_id)
        self._text = TextStream(tokenizer.token_bytes, tags, request.params.stop)
        self._times: list[float] = []
        self._waiting: list[int] = []  # ids whose text has not been shown
        self._undecoded = 0  # where those begin that have not been decoded
        self._called = False

    def chunks(self, backend: Backend, cancelled: Callable[[], bool]) -> Iterator[Chunk]:
        """A chunk for every token, or for as many as come in a moment too short to see."""
        started, shown_at, reason = time.perf_counter(), 0.0, None
        moment = 0.0 if self._params.stop else _MOMENT  # a stop text is looked for at every token
        tokens = backend.stream(self._request, cancelled)
        try:
            for id in tokens:
                now = time.perf_counter()
                self._times.append(now)
                self._waiting.append(id)
                if now - shown_at >= moment:
                    shown_at = now
                    if chunk := self._chunk(self._reading.feed_segments(self._decoded())):
                        yield chunk
                if self._text.stopped or id in self._params.stop_token_ids:
                    reason = "stop"
                    break
        finally:
            _close(tokens)
        if reason is None:
            reason = "cancelled" if cancelled() else "length"
        yield self._last(reason, started)

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
        return Chunk(text, ids, calls, deltas, thought)

    def _last(self, reason: str, started: float) -> Chunk:
        rest = self._reading.feed_segments([*self._decoded(), *self._text.close()])
        events = rest + self._reading.close()
        chunk = self._chunk(events) or Chunk("", tuple(self._waiting))
        final: FinishReason = "tool_calls" if reason == "stop" and self._called else reason  # type: ignore[assignment]
        usage = Usage(len(self._request.ids), len(self._times), self._truncated)
        return replace(chunk, finish_reason=final, usage=usage, timing=_timing(started, self._times))


def _timing(started: float, times: Sequence[float]) -> Timing:
    if not times:
        return Timing(0.0, 0.0)
    decoding = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0
    return Timing(times[0] - started, decoding)


def _never() -> bool:
    return False


def _close(tokens: Iterator[int]) -> None:
    """Let a backend's generator release its engine now, not when it is collected."""
    close = getattr(tokens, "close", None)
    if close:
        close()
