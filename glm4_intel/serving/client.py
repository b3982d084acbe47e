"""A model that a running server has, used as one that is loaded here: replies come over HTTP, in OpenAI's form.

Nothing but the standard library is needed for it. Every way in which a server can fail is one line.
"""

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..chat.conversation import Conversation, ToolChoice
from ..chat.events import ToolCall, ToolCallDelta
from ..chat.generation import Chunk, FinishReason, GenerationParams, Reply, Timing, Usage
from ..chat.messages import Message, RawMessage
from ..errors import Glm4Error
from .exchange import Exchange, Server

_LOOK_UP = 0.05
_CONTEXT = 8192
"""Tokens that a server's model is taken to have where it does not say."""
_CHARACTERS = 3
"""Of a token, about, where the server does not count them."""
_NAMES = {"max_new_tokens": "max_tokens"}
_NEUTRAL = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
"""Values that change nothing, and that not every server knows the name of."""
_REASONS: dict[Any, FinishReason] = {"stop": "stop", "length": "length", "tool_calls": "tool_calls"}


@dataclass(frozen=True)
class _Counting:
    """The server's tokenizer, as far as it is needed here."""

    server: Server
    model: str

    def encode_text(self, text: str) -> Sequence[int]:
        """As many ids as the text has tokens; about as many where the server does not tell."""
        body = {"model": self.model, "prompt": text, "add_special_tokens": False}
        try:
            return range(int(self.server.ask("POST", "/tokenize", body)["count"]))
        except (Glm4Error, KeyError, TypeError, ValueError):
            return range(len(text) // _CHARACTERS)


class ServerRuntime:
    """A server's model, as far as a `Runtime` is needed for a conversation."""

    def __init__(self, server: Server, model: str | None = None) -> None:
        """Raises Glm4Error where there is no server, it refuses the key, or it has no such model."""
        models = served_models(server)
        if not models or (model and model not in models):
            there = ", ".join(models) or "none"
            raise Glm4Error(f"{server.url} has no model {model or 'at all'}", f"There is {there}.")
        self._server, self.model = server, model or next(iter(models))
        self.context_length = models[self.model]
        self.tokenizer = _Counting(server, self.model)
        self.device, self.device_reason, self.closed = server.url, "", False
        self.defaults = GenerationParams()

    def close(self) -> None:
        """Nothing: the model is the server's."""
        self.closed = True

    def stream(
        self, messages: Sequence[RawMessage], tools: Sequence[Mapping[str, Any]] | None = None,
        cancel: threading.Event | None = None, tool_choice: ToolChoice = "auto", **overrides: Any,
    ) -> Iterator[Chunk]:  # fmt: skip
        """See Runtime.stream."""
        return self.answer(Conversation.parse(messages, tools, tool_choice), cancel, **overrides)

    def generate(self, messages: Sequence[RawMessage], **more: Any) -> Reply:
        """The whole reply: the join of `stream`."""
        return Reply.join(self.stream(messages, **more))

    def answer(
        self, conversation: Conversation, cancel: threading.Event | None = None, **overrides: Any
    ) -> Iterator[Chunk]:
        """See Runtime.answer; what the reply must look like is not passed on."""
        self.defaults.override(**overrides)
        tools = [tool.declaration for tool in conversation.tools]
        sampling = {_NAMES.get(name, name): value for name, value in overrides.items()
                    if value is not None and value != _NEUTRAL.get(name)}  # fmt: skip
        messages = [_sent(message) for message in conversation.messages]
        body = {"model": self.model, "messages": messages, "stream": True, "stream_options": {"include_usage": True},
                **sampling, **({"tools": tools} if tools else {})}  # fmt: skip
        return self._chunks(body, cancel.is_set if cancel else lambda: False)

    def _chunks(self, body: Mapping[str, Any], cancelled: Callable[[], bool]) -> Iterator[Chunk]:
        reading = _Reading(self._server)
        with Exchange(self._server, "POST", "/v1/chat/completions", body) as exchange:
            for event in _events(exchange, cancelled):
                if chunk := reading.take(event):
                    yield chunk
        yield reading.last(cancelled())


def served_models(server: Server) -> dict[str, int]:
    """The names of a server's models and their contexts. Raises Glm4Error for no answer, or one of another form."""
    listed = server.ask("GET", "/v1/models")
    try:
        return {str(each["id"]): int(each.get("max_model_len") or _CONTEXT) for each in listed["data"]}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Glm4Error("The server lists its models in an unknown form", "Is it another server?") from error


def _sent(message: Message) -> dict[str, Any]:
    """A message in OpenAI's form, of the turns that it stands for."""
    if message.role == "observation":
        called = message.call_ids[0] if message.call_ids else "call_0"
        return {"role": "tool", "tool_call_id": called, "content": message.turns[0].get("content", "")}
    text = "".join(str(turn.get("content", "")) for turn in message.turns if not turn.get("metadata"))
    called_turns = [turn for turn in message.turns if turn.get("metadata")]
    ids = message.call_ids or tuple(f"call_{index}" for index in range(len(called_turns)))
    calls = [
        {"id": id, "type": "function", "function": {"name": turn["metadata"], "arguments": turn["content"]}}
        for id, turn in zip(ids, called_turns, strict=False)
    ]
    return {"role": message.role, "content": text} | ({"tool_calls": calls} if calls else {})


def _events(exchange: Exchange, cancelled: Callable[[], bool]) -> Iterator[Any]:
    """The objects of a stream up to its end, or until it is cancelled. Raises Glm4Error where it is cut short."""
    arrived: queue.SimpleQueue[bytes | Glm4Error | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(exchange, arrived), daemon=True).start()
    while not cancelled():
        try:
            line = arrived.get(timeout=_LOOK_UP)
        except queue.Empty:
            continue
        if isinstance(line, Glm4Error):
            raise line
        if line is None:
            raise Glm4Error(f"{exchange.server.url} has ended the reply before its end", "Ask again.")
        if line.strip() == b"data: [DONE]":
            return
        if line.startswith(b"data:"):
            yield _object(line[5:], exchange.server)


def _read(exchange: Exchange, arrived: "queue.SimpleQueue[bytes | Glm4Error | None]") -> None:
    try:
        for line in exchange.lines():
            arrived.put(line)
        arrived.put(None)
    except Glm4Error as error:
        arrived.put(error)
    except AttributeError:  # http.client, whose answer another thread has closed
        arrived.put(None)


def _object(data: bytes, server: Server) -> Mapping[str, Any]:
    try:
        found = json.loads(data)
    except ValueError as error:
        raise Glm4Error(f"{server.url} sends a stream that is not JSON", "Is it another server?") from error
    if not isinstance(found, Mapping):
        raise Glm4Error(f"{server.url} sends a stream in an unknown form", "Is it another server?")
    if told := found.get("error"):
        message = told.get("message") if isinstance(told, Mapping) else told
        raise Glm4Error(f"The server could not go on: {' '.join(str(message).split())[:500]}")
    return found


class _Reading:
    """A stream's objects as chunks."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._started, self._times = time.perf_counter(), list[float]()
        self._calls: dict[int, dict[str, str]] = {}
        self._reason: FinishReason | None = None
        self._usage: Mapping[str, Any] = {}

    def take(self, event: Mapping[str, Any]) -> Chunk | None:
        """What an object says, where it says something. Raises Glm4Error for one of another form."""
        try:
            self._usage = event.get("usage") or self._usage
            chunks = [self._choice(choice) for choice in event.get("choices") or ()]
        except (KeyError, TypeError, AttributeError) as error:
            raise Glm4Error(f"{self._server.url} sends a stream in an unknown form", "Is it another server?") from error
        return next((chunk for chunk in chunks if chunk), None)

    def _choice(self, choice: Mapping[str, Any]) -> Chunk | None:
        if reason := choice.get("finish_reason"):
            self._reason = _REASONS.get(reason, "stop")
        delta = choice.get("delta") or {}
        text, thought = str(delta.get("content") or ""), str(delta.get("reasoning_content") or "")
        deltas = tuple(self._call(call) for call in delta.get("tool_calls") or ())
        if not (text or thought or deltas):
            return None
        self._times.append(time.perf_counter())
        return Chunk(text, reasoning=thought, tool_call_deltas=deltas)

    def _call(self, call: Mapping[str, Any]) -> ToolCallDelta:
        known = self._calls.setdefault(int(call["index"]), {"id": "", "name": "", "arguments": ""})
        function = call.get("function") or {}
        told = {"id": call.get("id"), "name": function.get("name"), "arguments": function.get("arguments")}
        for name, value in told.items():
            known[name] += str(value or "")
        return ToolCallDelta(int(call["index"]), str(told["name"] or ""), str(told["arguments"] or ""), known["id"])

    def last(self, cancelled: bool) -> Chunk:
        """The chunk that ends the reply, with the calls, the reason and the figures."""
        prompt, written = (int(self._usage.get(f"{kind}_tokens") or 0) for kind in ("prompt", "completion"))
        details = self._usage.get("prompt_tokens_details") or {}
        usage = Usage(prompt, written or len(self._times), 0, details.get("cached_tokens"))
        calls = tuple(_whole(call) for _, call in sorted(self._calls.items())) if not cancelled else ()
        reason: FinishReason = "cancelled" if cancelled else self._reason or "length"
        return Chunk(tool_calls=calls, finish_reason=reason, usage=usage, timing=self._timing(usage.completion_tokens))

    def _timing(self, tokens: int) -> Timing:
        """By this machine's clock: what the network takes is part of it."""
        if not self._times:
            return Timing(0.0, 0.0)
        rest = self._times[-1] - self._times[0]
        return Timing(self._times[0] - self._started, rest / (tokens - 1) if tokens > 1 else 0.0)


def _whole(call: Mapping[str, str]) -> ToolCall:
    try:
        arguments = json.loads(call["arguments"] or "{}")
    except ValueError:
        arguments = call["arguments"]
    return ToolCall(call["name"], arguments if isinstance(arguments, dict) else call["arguments"], call["id"])
