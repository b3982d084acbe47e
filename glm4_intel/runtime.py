"""The runtime: messages in, text out, on any backend. Everything that is not the engine's happens here, once."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from .backends import Backend
from .errors import Glm4Error
from .generation import Chunk, FinishReason, GenerationParams, Reply, Timing, Usage
from .messages import Message, tool_names, without_oldest_exchange
from .prompt import Prompt
from .streaming import StopTexts, TextStream
from .structured import response_guide, tool_guide
from .tools import Event, ReasoningDelta, ReplyStream, TextDelta, ToolCall, ToolCallDelta

HistoryPolicy = Literal["refuse", "trim"]
"""What happens to a conversation that outgrows its context: an error, or its oldest exchanges are left out."""

_MOMENT = 0.004
"""Seconds in which tokens share a chunk: a fast engine would otherwise wait for Python at each of them."""


class Runtime:
    """A loaded model. Any number of threads may stream from it at once."""

    def __init__(
        self,
        prompt: Prompt,
        backend: Backend,
        defaults: GenerationParams,
        context_length: int,
        device: str,
        device_reason: str = "",
        history: HistoryPolicy = "refuse",
    ) -> None:
        self.prompt = prompt
        self.backend = backend
        self.defaults = defaults
        self.context_length = context_length
        """Tokens that prompt and reply have together."""
        self.device = device
        self.device_reason = device_reason
        """Why AUTO took this device; empty where it was asked for."""
        self.history = history

    def stream(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        cancel: threading.Event | None = None,
        response_format: Mapping[str, Any] | None = None,
        tool_choice: str | Mapping[str, Any] = "auto",
        **overrides: Any,
    ) -> Iterator[Chunk]:
        """The reply in chunks as it is written; the last one has the finish reason and the figures.

        Setting `cancel` from any thread, or closing the iterator, stops the engine within two tokens. `overrides`
        are GenerationParams'. `response_format` and `tool_choice` are OpenAI's, with the formats "regex" and "choice"
        added: a grammar lets nothing else through. Raises Glm4Error, before anything is generated, for malformed
        messages or parameters, for what can't be guided, and for a prompt that leaves no room in the context.
        """
        fitted, ids = self._fitted(messages, None if tool_choice == "none" else tools)
        thinking = self.prompt.thinking(ids)
        guide = tool_guide(messages, tools, tool_choice, thinking)
        names = [] if tool_choice == "none" else tool_names(messages, tools)
        reading = ReplyStream(names, thinking, guided=guide is not None)
        guide = response_guide(response_format, guide, thinking)
        left_out = len(messages) - len(fitted)
        return self.stream_ids(ids, reading, cancel, left_out, **overrides, **({"guide": guide} if guide else {}))

    def generate(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        cancel: threading.Event | None = None,
        response_format: Mapping[str, Any] | None = None,
        tool_choice: str | Mapping[str, Any] = "auto",
        **overrides: Any,
    ) -> Reply:
        """The whole reply: the join of `stream`."""
        return Reply.join(self.stream(messages, tools, cancel, response_format, tool_choice, **overrides))

    def stream_ids(
        self,
        ids: Sequence[int],
        reading: ReplyStream,
        cancel: threading.Event | None = None,
        left_out: int = 0,
        **overrides: Any,
    ) -> Iterator[Chunk]:
        """`stream` for a prompt that is token ids already."""
        params = self._params(len(ids), overrides)
        reply = _ReplyInProgress(self.prompt, reading, params, len(ids), left_out)
        return reply.chunks(self.backend, ids, cancel.is_set if cancel else _never)

    @property
    def prompt_limit(self) -> int:
        """Tokens that a prompt may have at most."""
        return min(self.backend.prompt_limit or self.context_length, self.context_length - 1)

    def _fitted(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None
    ) -> tuple[Sequence[Message], list[int]]:
        """The messages and their prompt; where history is trimmed, a quarter of the context is left for the reply."""
        room = min(self.prompt_limit, self.context_length * 3 // 4)
        while len(ids := self.prompt.encode(messages, tools)) > room and self.history == "trim":
            shorter = without_oldest_exchange(messages)
            if len(shorter) == len(messages):
                break
            messages = shorter
        return messages, ids

    def _params(self, prompt_tokens: int, overrides: Mapping[str, Any]) -> GenerationParams:
        """The parameters of one reply: the model's stop ids added, and no more tokens than the context has room for."""
        params = self.defaults.override(**overrides)
        room = self.context_length - prompt_tokens
        if prompt_tokens > self.prompt_limit:
            limit = f"model's context is {self.context_length:,}"
            if self.prompt_limit < self.context_length - 1:
                limit += f", of which {self.prompt_limit:,} are for the prompt"
            raise Glm4Error(
                f"The prompt has {prompt_tokens:,} tokens, and the {limit}",
                "Shorten the text, or clear the conversation.",
            )
        stop_ids = params.stop_ids if params.ignore_stop else (*self.prompt.stop_ids, *params.stop_ids)
        return replace(params, max_new_tokens=min(params.max_new_tokens, room), stop_ids=stop_ids)


class _ReplyInProgress:
    """One reply on its way from ids to chunks."""

    def __init__(
        self, prompt: Prompt, reading: ReplyStream, params: GenerationParams, prompt_tokens: int, left_out: int
    ) -> None:
        self._params, self._reading = params, reading
        self._prompt_tokens, self._left_out = prompt_tokens, left_out
        self._text, self._stops = TextStream(prompt.token_bytes), StopTexts(params.stop)
        self._times: list[float] = []
        self._waiting: list[int] = []  # ids whose text has not been shown
        self._undecoded = 0  # where those begin that have not been decoded
        self._called = False

    def chunks(self, backend: Backend, ids: Sequence[int], cancelled: Callable[[], bool]) -> Iterator[Chunk]:
        """A chunk for every token, or for as many as come in a moment too short to see."""
        started, shown_at, reason = time.perf_counter(), 0.0, None
        moment = 0.0 if self._params.stop else _MOMENT  # a stop text is looked for at every token
        tokens = backend.stream(ids, self._params, cancelled)
        try:
            for id in tokens:
                now = time.perf_counter()
                self._times.append(now)
                self._waiting.append(id)
                if now - shown_at >= moment:
                    shown_at = now
                    if chunk := self._chunk(self._reading.feed(self._decoded())):
                        yield chunk
                if self._stops.found or id in self._params.stop_ids:
                    reason = "stop"
                    break
        finally:
            _close(tokens)
        if reason is None:
            reason = "cancelled" if cancelled() else "length"
        yield self._last(reason, started)

    def _decoded(self) -> str:
        """The text of the ids that have not been decoded yet."""
        ids, self._undecoded = self._waiting[self._undecoded :], len(self._waiting)
        return self._stops.feed(self._text.feed(ids))

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
        rest = self._decoded() + self._stops.feed(self._text.close()) + self._stops.close()
        events = self._reading.feed(rest) + self._reading.close()
        chunk = self._chunk(events) or Chunk("", tuple(self._waiting))
        final: FinishReason = "tool_calls" if reason == "stop" and self._called else reason  # type: ignore[assignment]
        usage = Usage(self._prompt_tokens, len(self._times), self._left_out)
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
