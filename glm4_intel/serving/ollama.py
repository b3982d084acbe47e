"""Ollama's API: `/api/chat`, `/api/generate`, `/api/tags` and `/api/version`."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from starlette.responses import JSONResponse, Response

from .. import __version__
from ..chat.conversation import Conversation
from ..chat.events import ToolCall
from ..chat.generation import Chunk, Reply
from ..replies import ReplyInProgress
from .bodies import Fields, parse
from .errors import BadRequest, ServerError
from .hall import Hall
from .served import Served, told_by_field
from .streams import Events, Receive, line, unless_left

_SECOND = 1_000_000_000
_REASONS = {"tool_calls": "stop"}
_DETAILS = {"format": "openvino", "family": "glm4"}


class Options(Fields):
    """Ollama's names of the parameters."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    num_predict: int | None = None
    repeat_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    num_ctx: int | None = None

    def overrides(self, context: int) -> dict[str, Any]:
        """GenerationParams' own. Raises BadRequest for a context that the model has not."""
        if (self.num_ctx or 0) > context:
            raise BadRequest(f"options.num_ctx is {self.num_ctx}, and the model's context {context}", field="options")
        same = ("temperature", "top_p", "top_k", "min_p", "seed", "stop", "presence_penalty", "frequency_penalty")
        longest = self.num_predict if self.num_predict is None or self.num_predict > 0 else context
        renamed = {"max_new_tokens": longest, "repetition_penalty": self.repeat_penalty}
        return {name: getattr(self, name) for name in same} | renamed


class Asked(Fields):
    """The fields of both."""

    model: str | None = None
    stream: bool | None = None
    format: str | dict[str, Any] | None = None
    options: Options | None = None
    think: bool | None = None
    keep_alive: str | int | float | None = None  # a served model is kept anyway

    @property
    def response_format(self) -> Mapping[str, Any] | None:
        """OpenAI's."""
        if isinstance(self.format, dict):
            return {"type": "json_schema", "json_schema": {"schema": self.format}}
        if self.format not in (None, "", "json"):
            raise BadRequest(f"format is {self.format!r}", 'Use "json" or a JSON schema.', "format")
        return {"type": "json_object"} if self.format else None


class ChatRequest(Asked):
    """The body of `/api/chat`."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None

    def conversation(self) -> Conversation:
        """The conversation. Raises BadRequest."""
        messages = [_plain(message, index) for index, message in enumerate(self.messages)]
        with told_by_field():
            return Conversation.parse(messages, self.tools, "auto", self.response_format)


class GenerateRequest(Asked):
    """The body of `/api/generate`."""

    prompt: str = ""
    system: str | None = None
    suffix: str | None = None
    images: list[str] | None = None
    template: str | None = None
    context: list[int] | None = None
    raw: bool | None = None

    def conversation(self) -> Conversation:
        """The conversation. Raises BadRequest."""
        fields = {"suffix": "GLM-4 does not fill in the middle", "images": "GLM-4 reads text",
                  "template": "the model has its own", "context": "send the messages to /api/chat",
                  "raw": "use /v1/completions"}  # fmt: skip
        self.refuse(fields, empty=("", [], False))
        system = [{"role": "system", "content": self.system}] if self.system else []
        with told_by_field():
            messages = [*system, {"role": "user", "content": self.prompt}]
            return Conversation.parse(messages, response_format=self.response_format)


def _plain(message: Mapping[str, Any], index: int) -> dict[str, Any]:
    if message.get("images"):
        raise BadRequest(f"messages[{index}].images can't be told to GLM-4", "It reads text.", "messages")
    return {name: value for name, value in message.items() if name in ("role", "content", "tool_calls")}


@dataclass
class Answer:
    """One request that is being answered."""

    model: Served
    reply: ReplyInProgress
    chat: bool

    def _head(self) -> dict[str, Any]:
        return {"model": self.model.name, "created_at": datetime.now(timezone.utc).isoformat()}

    def _said(self, text: str, thought: str, calls: Iterable[ToolCall]) -> dict[str, Any]:
        thinking = {"thinking": thought} if thought else {}
        if not self.chat:
            return {"response": text, **thinking}
        called = [{"function": {"name": call.name, "arguments": _arguments(call)}} for call in calls]
        more = {"tool_calls": called} if called else {}
        return {"message": {"role": "assistant", "content": text, **thinking, **more}}

    def _end(self, last: Chunk | Reply) -> dict[str, Any]:
        assert last.usage and last.timing and last.finish_reason
        prompt, written = last.usage.prompt_tokens, last.usage.completion_tokens
        first, rest = last.timing.time_to_first_token, last.timing.time_per_token * max(0, written - 1)
        seconds = {"total_duration": first + rest, "load_duration": 0, "prompt_eval_duration": first,
                   "eval_duration": rest}  # fmt: skip
        figures = {name: int(value * _SECOND) for name, value in seconds.items()}
        reason = _REASONS.get(last.finish_reason, last.finish_reason)
        return {"done": True, "done_reason": reason, "prompt_eval_count": prompt, "eval_count": written, **figures}

    async def whole(self) -> dict[str, Any]:
        """All of it."""
        async with aclosing(self.model.chunks(self.reply)) as chunks:
            reply = Reply.join([chunk async for chunk in chunks])
        return self._head() | self._said(reply.text, reply.reasoning, reply.tool_calls) | self._end(reply)

    async def lines(self) -> AsyncGenerator[Mapping[str, Any], None]:
        """The lines of a stream."""
        async with aclosing(self.model.chunks(self.reply)) as chunks:
            async for chunk in chunks:
                if chunk.text or chunk.reasoning or chunk.tool_calls:
                    said = self._said(chunk.text, chunk.reasoning, chunk.tool_calls)
                    yield self._head() | said | {"done": False}
                if chunk.finish_reason:
                    yield self._head() | self._said("", "", ()) | self._end(chunk)


def _arguments(call: ToolCall) -> dict[str, Any]:
    return {"input": call.arguments} if isinstance(call.arguments, str) else call.arguments


async def chat(hall: Hall, data: Any, receive: Receive) -> Response:
    """`/api/chat`."""
    return await _create(hall, parse(ChatRequest, data), receive)


async def generate(hall: Hall, data: Any, receive: Receive) -> Response:
    """`/api/generate`."""
    return await _create(hall, parse(GenerateRequest, data), receive)


async def _create(hall: Hall, body: ChatRequest | GenerateRequest, receive: Receive) -> Response:
    model = hall.model(body.model)
    if not (body.messages if isinstance(body, ChatRequest) else body.prompt):
        return await _loaded(model, isinstance(body, ChatRequest))
    conversation, facts = body.conversation(), await model.engine.ready()
    reply = await model.begin(conversation, (body.options or Options()).overrides(facts.context))
    if body.think and model.tokenizer.thinking(reply.request.ids) == "off":
        raise BadRequest(f"{model.name} does not think", "Leave it out.", "think")
    answer, places = Answer(model, reply, isinstance(body, ChatRequest)), model.admission.places(1)
    if body.stream is not False:
        return await Events(answer.lines(), line, "application/x-ndjson", _stream_fault, places).begin(receive)
    with places:
        return JSONResponse(await unless_left(receive, answer.whole()))


async def _loaded(model: Served, chat: bool) -> Response:
    """The answer to a request that asks for nothing but the model to be loaded."""
    await model.engine.ready()
    said = {"message": {"role": "assistant", "content": ""}} if chat else {"response": ""}
    at = datetime.now(timezone.utc).isoformat()
    return JSONResponse({"model": model.name, "created_at": at, **said, "done": True, "done_reason": "load"})


def error_body(error: ServerError) -> dict[str, Any]:
    """Ollama's shape of an error."""
    return {"error": error.told}


def _stream_fault(error: ServerError) -> Iterable[Mapping[str, Any]]:
    yield error_body(error)


def tags(hall: Hall) -> dict[str, Any]:
    """The models."""
    models = hall.models.values()
    return {"models": [
        {"name": model.name, "model": model.name, "size": 0, "digest": "", "details": _DETAILS,
         "modified_at": datetime.fromtimestamp(model.created, timezone.utc).isoformat()} for model in models
    ]}  # fmt: skip


class ShowRequest(Fields):
    """The body of `/api/show`."""

    model: str | None = None
    name: str | None = None
    """What the model was called in earlier versions of the API."""
    verbose: bool | None = None


async def show(hall: Hall, data: Any, receive: Receive) -> Response:
    """What a model can do, which clients ask before they give it tools."""
    body = parse(ShowRequest, data)
    model = hall.model(body.model or body.name)
    context = {"glm4.context_length": model.engine.facts.context} if model.engine.facts else {}
    capabilities = ["completion", *(["tools"] if model.tokenizer.chats else [])]
    return JSONResponse({
        "details": _DETAILS, "capabilities": capabilities, "parameters": "", "template": "", "modelfile": "",
        "model_info": {"general.architecture": "glm4", **context},
    })  # fmt: skip


def version() -> dict[str, Any]:
    """This toolkit's."""
    return {"version": __version__}
