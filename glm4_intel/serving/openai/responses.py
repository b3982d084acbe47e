"""`/v1/responses`, without a memory: every request brings what was said before."""

import time
import uuid
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.responses import Response

from ...chat.conversation import Conversation
from ...chat.generation import Chunk, Reply
from ...replies import ReplyInProgress
from ..bodies import Fields, parse
from ..errors import BadRequest, ServerError
from ..hall import Hall
from ..served import Served, told_by_field
from ..streams import Receive, answered, first_call, named_event
from .messages import plain_tools, strict_names
from .sampling import error_body

_REFUSED = {
    "previous_response_id": "this server keeps nothing: send what was said in input",
    "store": "this server keeps nothing",
    "conversation": "this server keeps nothing", "background": "this server keeps nothing",
    "prompt": "this server keeps nothing", "truncation": "see serve --history",
    "include": "there is nothing more to tell",
    "reasoning": "GLM-4 has no such setting", "top_logprobs": "use /v1/chat/completions",
    "max_tool_calls": "this server runs no tools", "stream_options": "there is nothing to choose",
}  # fmt: skip
_PARTS = {"reasoning": "reasoning_text", "message": "output_text"}
"""What an item's text is called, by the item's type."""
_NO_LOGPROBS: dict[str, dict[str, Any]] = {"message": {"logprobs": []}}
_ITEM_IDS = {"reasoning": "rs_", "message": "msg_"}
_EMPTY: tuple[Any, ...] = (None, False, [], "disabled", {}, {"effort": None, "summary": None})


class ResponsesRequest(Fields):
    """The body."""

    model: str | None = None
    input: str | list[dict[str, Any]]
    instructions: str | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: dict[str, Any] | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stream: bool | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: Literal["auto", "default"] | None = None
    previous_response_id: Any = None
    store: Any = None
    conversation: Any = None
    background: Any = None
    prompt: Any = None
    truncation: Any = None
    include: Any = None
    reasoning: Any = None
    top_logprobs: Any = None
    max_tool_calls: Any = None
    stream_options: Any = None

    def said(self) -> Conversation:
        """The conversation. Raises BadRequest."""
        self.refuse(_REFUSED, _EMPTY)
        system = [{"role": "system", "content": self.instructions}] if self.instructions else []
        given = [{"role": "user", "content": self.input}] if isinstance(self.input, str) else self.input
        said = [(index, item) for index, item in enumerate(given) if item.get("type") != "reasoning"]
        messages = [*system, *(_message(item, f"input[{index}]") for index, item in said)]
        with told_by_field():
            tools = _tools(self.tools)
            return Conversation.parse(
                _one_turn(messages), plain_tools(tools), self.tool_choice, self._format(), strict_names(tools)
            )

    def _format(self) -> Mapping[str, Any] | None:
        """Chat's response_format."""
        given = (self.text or {}).get("format") or {"type": "text"}
        if not isinstance(given, Mapping):
            raise BadRequest("text.format must be an object", field="text")
        if set(self.text or {}) - {"format"}:
            raise BadRequest("text has format alone here", field="text")
        return {"type": "json_schema", "json_schema": given} if given.get("type") == "json_schema" else given

    def overrides(self) -> dict[str, Any]:
        """GenerationParams' own."""
        return {"max_new_tokens": self.max_output_tokens, "temperature": self.temperature, "top_p": self.top_p}


def _message(item: Mapping[str, Any], where: str) -> dict[str, Any]:
    """An item of the input as a message."""
    kind = item.get("type", "message")
    if kind == "function_call":
        function = {"name": item.get("name"), "arguments": item.get("arguments")}
        call = {"id": item.get("call_id"), "type": "function", "function": function}
        return {"role": "assistant", "content": "", "tool_calls": [call]}
    if kind == "function_call_output":
        return {"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output")}
    if kind != "message":
        raise BadRequest(f"{where} is of type {kind!r}", "Use messages, function_call and its output.", "input")
    return {"role": item.get("role"), "content": item.get("content")}


def _one_turn(messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Calls that follow each other are one turn's, so that their results find them."""
    joined: list[dict[str, Any]] = []
    for message in messages:
        if message.get("tool_calls") and joined and joined[-1].get("tool_calls"):
            joined[-1] = {**joined[-1], "tool_calls": [*joined[-1]["tool_calls"], *message["tool_calls"]]}
        else:
            joined.append(message)
    return joined


def _tools(tools: Iterable[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """Tools, which are flat here, in chat's form."""
    return [{"type": tool.get("type"), "function": {name: value for name, value in tool.items() if name != "type"}}
            for tool in tools or ()]  # fmt: skip


@dataclass
class Answer:
    """One request that is being answered."""

    model: Served
    body: ResponsesRequest
    reply: ReplyInProgress
    id: str = field(default_factory=lambda: f"resp_{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def _response(self, status: str, reply: Reply | None = None) -> dict[str, Any]:
        cut = {"reason": "max_output_tokens"} if status == "incomplete" else None
        return {
            "id": self.id, "object": "response", "created_at": self.created, "status": status, "error": None,
            "incomplete_details": cut, "model": self.model.name, "instructions": self.body.instructions,
            "output": _items(self.id, reply) if reply else [], "tools": self.body.tools or [], "store": False,
            "tool_choice": self.body.tool_choice or "auto",
            "parallel_tool_calls": self.body.parallel_tool_calls is not False,
            "temperature": self.body.temperature, "top_p": self.body.top_p, "metadata": self.body.metadata or {},
            "usage": _usage(reply) if reply else None,
        }  # fmt: skip

    def _whole(self, reply: Reply) -> dict[str, Any]:
        return self._response("incomplete" if reply.finish_reason == "length" else "completed", reply)

    def _chunks(self) -> AsyncGenerator[Chunk, None]:
        return first_call(self.model.chunks(self.reply), self.body.parallel_tool_calls is False)

    async def answer(self) -> dict[str, Any]:
        """The whole of it."""
        async with aclosing(self._chunks()) as chunks:
            return self._whole(Reply.join([chunk async for chunk in chunks]))

    async def events(self) -> AsyncGenerator[Mapping[str, Any], None]:
        """The events of a stream, numbered."""
        number = 0
        async with aclosing(self._events()) as events:
            async for each in events:
                yield {**each, "sequence_number": number}
                number += 1

    async def _events(self) -> AsyncGenerator[dict[str, Any], None]:
        taken, written = list[Chunk](), list[str]()
        async with aclosing(self._chunks()) as chunks:
            async for chunk in chunks:
                if not taken:
                    yield {"type": "response.created", "response": self._response("in_progress")}
                for told in self._written(chunk, written):
                    yield told
                taken.append(chunk)
        reply = Reply.join(taken)
        for index, item in enumerate(_items(self.id, reply)):
            for told in _item_ends(index, item):
                yield told
        whole = self._whole(reply)
        yield {"type": f"response.{whole['status']}", "response": whole}

    def _written(self, chunk: Chunk, written: list[str]) -> Iterator[dict[str, Any]]:
        """The events of a chunk's thoughts and text; `written` are the kinds of items that have begun."""
        for kind, piece in (("reasoning", chunk.reasoning), ("message", chunk.text)):
            if piece and kind not in written:
                written.append(kind)
                yield from _begins(kind, self.id, len(written) - 1)
            if piece:
                logprobs = _NO_LOGPROBS.get(kind, {})
                at = {"item_id": _ITEM_IDS[kind] + self.id, "output_index": written.index(kind), "content_index": 0}
                yield {"type": f"response.{_PARTS[kind]}.delta", **at, "delta": piece, **logprobs}


def _items(id: str, reply: Reply) -> list[dict[str, Any]]:
    """What was written: thoughts, a message, and calls."""
    thoughts = {**_item("reasoning", id, "completed"), "content": [_part("reasoning", reply.reasoning)]}
    message = {**_item("message", id, "completed"), "content": [_part("message", reply.text)]}
    calls = [call.message() for call in reply.tool_calls]
    return [*([thoughts] if reply.reasoning else []), *([message] if reply.text or not calls else []), *(
        {"type": "function_call", "id": f"fc_{call['id']}", "call_id": call["id"], "status": "completed",
         **call["function"]} for call in calls
    )]  # fmt: skip


def _usage(reply: Reply) -> dict[str, Any]:
    prompt, written = reply.usage.prompt_tokens, reply.usage.completion_tokens
    figures = {"input_tokens": prompt, "output_tokens": written, "total_tokens": prompt + written}
    cached = reply.usage.cached_tokens
    return figures if cached is None else figures | {"input_tokens_details": {"cached_tokens": cached}}


def _item(kind: str, id: str, status: str) -> dict[str, Any]:
    """A message or thoughts, without what was written."""
    more: dict[str, Any] = {"role": "assistant"} if kind == "message" else {"summary": []}
    return {"type": kind, "id": _ITEM_IDS[kind] + id, "status": status, "content": [], **more}


def _part(kind: str, text: str) -> dict[str, Any]:
    more: dict[str, Any] = {"annotations": [], "logprobs": []} if kind == "message" else {}
    return {"type": _PARTS[kind], "text": text, **more}


def _begins(kind: str, id: str, index: int) -> Iterator[dict[str, Any]]:
    yield {"type": "response.output_item.added", "output_index": index, "item": _item(kind, id, "in_progress")}
    at = {"item_id": _ITEM_IDS[kind] + id, "output_index": index, "content_index": 0}
    yield {"type": "response.content_part.added", **at, "part": _part(kind, "")}


def _item_ends(index: int, item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if item["type"] in _PARTS:
        part, at = item["content"][0], {"item_id": item["id"], "output_index": index, "content_index": 0}
        if part["text"]:
            logprobs = _NO_LOGPROBS.get(item["type"], {})
            yield {"type": f"response.{part['type']}.done", **at, "text": part["text"], **logprobs}
            yield {"type": "response.content_part.done", **at, "part": part}
    else:
        begun = {**item, "arguments": "", "status": "in_progress"}
        yield {"type": "response.output_item.added", "output_index": index, "item": begun}
        at = {"item_id": item["id"], "output_index": index}
        yield {"type": "response.function_call_arguments.delta", **at, "delta": item["arguments"]}
        yield {"type": "response.function_call_arguments.done", **at, "arguments": item["arguments"],
               "name": item["name"]}  # fmt: skip
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _fault(error: ServerError) -> Iterable[Mapping[str, Any]]:
    yield {"type": "error", **error_body(error)["error"], "sequence_number": 0}


async def create(hall: Hall, data: Any, receive: Receive) -> Response:
    """The answer to a request."""
    body = parse(ResponsesRequest, data)
    model = hall.model(body.model)
    answer = Answer(model, body, await model.begin(body.said(), body.overrides()))
    places = model.admission.places(1)
    return await answered(answer, body.stream, receive, places, named_event, _fault)
