"""Anthropic's API: `/v1/messages` and `/v1/messages/count_tokens`."""

import json
import uuid
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import JSONResponse, Response

from ..chat.conversation import Conversation
from ..chat.generation import Chunk, Reply
from ..replies import ReplyInProgress
from .bodies import Fields, parse
from .errors import BadRequest, ServerError
from .hall import Hall
from .served import Served, told_by_field
from .streams import Receive, answered, first_call, named_event

_KINDS = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 413: "request_too_large",
          429: "rate_limit_error", 500: "api_error", 503: "overloaded_error"}  # fmt: skip
_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_NO_EFFECT = ("thinking", "redacted_thinking")
"""Blocks of an assistant's turn that come back: a model's thoughts are not told to it again."""
_ONE_CALL = "disable_parallel_tool_use"
_CHOICES: dict[str, Any] = {"auto": "auto", "none": "none", "any": "required"}


class CountRequest(Fields):
    """What a prompt is made of."""

    model: str | None = None
    messages: list[dict[str, Any]]
    system: str | list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None

    def conversation(self) -> Conversation:
        """The conversation. Raises BadRequest."""
        if self.thinking and self.thinking.get("type") not in ("disabled", "adaptive"):
            raise BadRequest("thinking can't be switched on", "A model that thinks does so by itself.", "thinking")
        system = [{"role": "system", "content": _text(self.system, "system")}] if self.system else []
        messages = [each for index, message in enumerate(self.messages) for each in _converted(message, index)]
        with told_by_field():
            return Conversation.parse(
                [*system, *messages], _tools(self.tools), _tool_choice(self.tool_choice), strict=_strict(self.tools)
            )


class MessagesRequest(CountRequest):
    """The body."""

    max_tokens: int
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None

    def overrides(self) -> dict[str, Any]:
        """GenerationParams' own."""
        if self.max_tokens < 1:
            raise BadRequest(f"max_tokens is {self.max_tokens}", "It must be 1 or more.", "max_tokens")
        return {"max_new_tokens": self.max_tokens, "temperature": self.temperature, "top_p": self.top_p,
                "top_k": self.top_k, "stop": self.stop_sequences}  # fmt: skip


def _converted(message: Mapping[str, Any], index: int) -> Iterator[dict[str, Any]]:
    """A message as those of OpenAI's form that it stands for: results first, each a message of its own."""
    where, role, content = f"messages[{index}]", message.get("role"), message.get("content")
    if isinstance(content, str):
        yield {"role": role, "content": content}
        return
    if not isinstance(content, list) or not all(isinstance(block, Mapping) for block in content):
        raise BadRequest(f"{where}.content must be text or a list of blocks", field="messages")
    blocks = [block for block in content if block.get("type") not in _NO_EFFECT]
    for block in blocks:
        if block.get("type") == "tool_result":
            result = _text(block.get("content") or "", f"{where}.content")
            yield {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": result}
    calls = [_call(block) for block in blocks if block.get("type") == "tool_use"]
    said = _text([block for block in blocks if block.get("type") not in ("tool_use", "tool_result")], where)
    if said or calls or not blocks:
        yield {"role": role, "content": said} | ({"tool_calls": calls} if calls else {})


def _call(block: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": block.get("name"), "arguments": json.dumps(block.get("input", {}), ensure_ascii=False)}
    return {"id": block.get("id"), "type": "function", "function": function}


def _text(content: Any, where: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise BadRequest(f"{where} must be text or a list of blocks", field="messages")
    for block in content:
        if not isinstance(block, Mapping):
            raise BadRequest(f"{where} has a block that is no object", field="messages")
        if block.get("type") != "text" or not isinstance(block.get("text"), str):
            raise BadRequest(f"{where} has a block of type {block.get('type')!r}", "GLM-4 reads text.", "messages")
    return "".join(block["text"] for block in content)


def _tools(tools: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]] | None:
    for tool in tools or ():
        if tool.get("type", "custom") != "custom":
            raise BadRequest(f"tools: {tool['type']!r} runs on Anthropic's servers alone", field="tools")
    return [
        {"type": "function", "function": {"name": tool.get("name"), "description": tool.get("description", ""),
                                          "parameters": tool.get("input_schema") or {"type": "object"}}}
        for tool in tools or ()
    ] or None  # fmt: skip


def _strict(tools: Sequence[Mapping[str, Any]] | None) -> list[str]:
    """The tools whose calls must satisfy their schema."""
    return [str(tool.get("name")) for tool in tools or () if tool.get("strict")]


def _tool_choice(choice: Mapping[str, Any] | None) -> Any:
    kind = str(choice.get("type")) if choice else "auto"
    if kind == "tool" and choice:
        return {"type": "function", "function": {"name": choice.get("name")}}
    if kind not in _CHOICES:
        raise BadRequest(f"tool_choice.type is {kind!r}", "Use auto, any, tool or none.", "tool_choice")
    return _CHOICES[kind]


@dataclass
class Turn:
    """One request that is being answered."""

    model: Served
    body: MessagesRequest
    reply: ReplyInProgress
    id: str = field(default_factory=lambda: f"msg_{uuid.uuid4().hex}")

    def _message(self, content: Sequence[Any], ended: Mapping[str, Any], written: int) -> dict[str, Any]:
        return {"id": self.id, "type": "message", "role": "assistant", "model": self.model.name, "content": content,
                **ended, "usage": self._usage(written)}  # fmt: skip

    def _usage(self, written: int) -> dict[str, int]:
        """Tokens that came from the cache are counted apart, as Anthropic does."""
        prompt, cached = len(self.reply.request.ids), self.reply.cached
        told = {} if cached is None else {"cache_creation_input_tokens": 0, "cache_read_input_tokens": cached}
        return {"input_tokens": prompt - (cached or 0), **told, "output_tokens": written}

    def _ended(self, reason: str | None) -> dict[str, Any]:
        stop = self.reply.stop_text
        return {"stop_reason": "stop_sequence" if stop else _REASONS.get(reason or ""), "stop_sequence": stop}

    def _chunks(self) -> AsyncGenerator[Chunk, None]:
        return first_call(self.model.chunks(self.reply), bool((self.body.tool_choice or {}).get(_ONE_CALL)))

    async def answer(self) -> dict[str, Any]:
        """The whole of it."""
        async with aclosing(self._chunks()) as chunks:
            reply = Reply.join([chunk async for chunk in chunks])
        content: list[dict[str, Any]] = []
        if reply.reasoning:
            content.append({"type": "thinking", "thinking": reply.reasoning, "signature": ""})
        if reply.text or not reply.tool_calls:
            content.append({"type": "text", "text": reply.text})
        content += [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": _input(call.arguments)}
            for call in reply.tool_calls
        ]
        return self._message(content, self._ended(reply.finish_reason), reply.usage.completion_tokens)

    async def events(self) -> AsyncGenerator[Mapping[str, Any], None]:
        """The events of a stream."""
        blocks = _Blocks()
        async with aclosing(self._chunks()) as chunks:
            first = True
            async for chunk in chunks:
                if first:
                    first = False
                    yield {"type": "message_start", "message": self._message([], self._ended(None), 0)}
                for told in blocks.read(chunk):
                    yield told
                if chunk.usage:
                    for told in blocks.stop():
                        yield told
                    usage = self._usage(chunk.usage.completion_tokens)
                    yield {"type": "message_delta", "delta": self._ended(chunk.finish_reason), "usage": usage}
        yield {"type": "message_stop"}


def _input(arguments: dict[str, Any] | str) -> dict[str, Any]:
    """A call's arguments; those of a built-in tool, which are plain text, under a name."""
    return {"input": arguments} if isinstance(arguments, str) else arguments


class _Blocks:
    """The blocks of a stream: one is open at a time."""

    def __init__(self) -> None:
        self._index, self._open = -1, ""

    def read(self, chunk: Chunk) -> Iterator[dict[str, Any]]:
        """The events of a chunk."""
        if chunk.reasoning:
            yield from self._in("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            yield self._delta({"type": "thinking_delta", "thinking": chunk.reasoning})
        if chunk.text:
            yield from self._in("text", {"type": "text", "text": ""})
            yield self._delta({"type": "text_delta", "text": chunk.text})
        for delta in chunk.tool_call_deltas:
            if delta.name:
                call = {"type": "tool_use", "id": delta.id, "name": delta.name, "input": {}}
                yield from self._in(f"call {delta.index}", call)
            if delta.arguments:
                yield self._delta({"type": "input_json_delta", "partial_json": delta.arguments})

    def _in(self, name: str, block: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        if self._open == name:
            return
        yield from self.stop()
        self._index, self._open = self._index + 1, name
        yield {"type": "content_block_start", "index": self._index, "content_block": block}

    def _delta(self, delta: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}

    def stop(self) -> Iterator[dict[str, Any]]:
        """Close the block that is open."""
        if self._open:
            self._open = ""
            yield {"type": "content_block_stop", "index": self._index}


def error_body(error: ServerError) -> dict[str, Any]:
    """Anthropic's shape of an error."""
    kind = _KINDS.get(error.status, "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": error.told}}


def _stream_fault(error: ServerError) -> Iterable[Mapping[str, Any]]:
    yield error_body(error)


async def create(hall: Hall, data: Any, receive: Receive) -> Response:
    """The answer to a request."""
    body = parse(MessagesRequest, data)
    model = hall.model(body.model)
    turn = Turn(model, body, await model.begin(body.conversation(), body.overrides()))
    places = model.admission.places(1)
    return await answered(turn, body.stream, receive, places, named_event, _stream_fault)


async def count_tokens(hall: Hall, data: Any, receive: Receive) -> Response:
    """The length of a prompt."""
    body = parse(CountRequest, data)
    with told_by_field():
        ids = body.conversation().render(hall.model(body.model).tokenizer)
    return JSONResponse({"input_tokens": len(ids)})
