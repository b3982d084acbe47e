"""The runtime: messages in, text out, on any backend. Everything that is not the engine's happens here, once."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

from .backends import Backend
from .backends.options import HistoryPolicy
from .chat.conversation import Conversation, ToolChoice
from .chat.generation import Chunk, GenerationParams, Reply
from .chat.messages import RawMessage
from .chat.tokenizer import ChatTokenizer
from .replies import Replies, ReplyInProgress


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
        adapter: str | None = None,
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
        self.adapter = adapter
        """The adapter of replies that name none; None for the model itself."""
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
        adapter: str | None = None,
        **overrides: Any,
    ) -> Iterator[Chunk]:
        """The reply in chunks as it is written; the last one has the finish reason and the figures.

        Setting `cancel` from any thread, or closing the iterator, stops the engine within two tokens. `overrides`
        are GenerationParams'. `response_format` and `tool_choice` are OpenAI's, with the formats "regex" and "choice"
        added: a grammar lets nothing else through. `adapter` names one of those that were loaded; None is the load's
        default, and the empty name the model itself. Raises Glm4Error, before anything is generated, for malformed
        messages or parameters, for an adapter that is not loaded, for what can't be guided, and for a prompt that
        leaves no room in the context.
        """
        conversation = Conversation.parse(messages, tools, tool_choice, response_format)
        return self.answer(conversation, cancel, adapter, **overrides)

    def generate(
        self,
        messages: Sequence[RawMessage],
        tools: Sequence[Mapping[str, Any]] | None = None,
        cancel: threading.Event | None = None,
        response_format: Mapping[str, Any] | None = None,
        tool_choice: ToolChoice = "auto",
        adapter: str | None = None,
        **overrides: Any,
    ) -> Reply:
        """The whole reply: the join of `stream`."""
        return Reply.join(self.stream(messages, tools, cancel, response_format, tool_choice, adapter, **overrides))

    def answer(
        self, conversation: Conversation, cancel: threading.Event | None = None, adapter: str | None = None,
        **overrides: Any,
    ) -> Iterator[Chunk]:  # fmt: skip
        """`stream` for a conversation that has been parsed."""
        return self._written(self._replies(adapter).begin(conversation, overrides), cancel)

    def stream_ids(
        self, ids: Sequence[int], cancel: threading.Event | None = None, adapter: str | None = None, **overrides: Any
    ) -> Iterator[Chunk]:
        """`stream` for a prompt that is token ids already, and no tools."""
        return self._written(self._replies(adapter).begin_ids(ids, overrides), cancel)

    @property
    def replies(self) -> Replies:
        """What makes a request of a conversation, and chunks of what the engine writes."""
        return Replies(
            self.tokenizer, self.defaults, self.context_length, self.prompt_limit, self.history, self.adapter
        )

    def _replies(self, adapter: str | None) -> Replies:
        return self.replies if adapter is None else replace(self.replies, adapter=adapter or None)

    @property
    def prompt_limit(self) -> int:
        """Tokens that a prompt may have at most."""
        return min(self.backend.prompt_limit or self.context_length, self.context_length - 1)

    def _written(self, reply: ReplyInProgress, cancel: threading.Event | None) -> Iterator[Chunk]:
        """A chunk for every token, or for as many as come in a moment too short to see."""
        cancelled = cancel.is_set if cancel else _never
        reply.start()
        tokens = self.backend.stream(reply.request, cancelled)
        try:
            for id in tokens:
                if chunk := reply.read(id):
                    yield chunk
                if reply.stopped:
                    break
        finally:
            _close(tokens)
        yield reply.last(cancelled())


def _never() -> bool:
    return False


def _close(tokens: Iterator[int]) -> None:
    """Let a backend's generator release its engine now, not when it is collected."""
    close = getattr(tokens, "close", None)
    if close:
        close()
