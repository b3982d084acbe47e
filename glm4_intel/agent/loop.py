"""The tool loop: the model calls, functions answer, until it has answered the user; every step is an event."""

import itertools
import json
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..chat.conversation import Conversation, ToolChoice
from ..chat.events import ToolCall
from ..chat.generation import Chunk, Reply
from ..chat.messages import RawMessage
from ..errors import Glm4Error
from .callables import Tool, tool

_LOOK_UP = 0.05


class Answering(Protocol):
    """What answers a conversation: a Runtime, or a server's model."""

    def answer(
        self, conversation: Conversation, cancel: threading.Event | None = None, **overrides: Any
    ) -> Iterator[Chunk]: ...


@dataclass(frozen=True)
class Wrote:
    """A further chunk of a reply."""

    chunk: Chunk


@dataclass(frozen=True)
class Called:
    """The model has called a tool; it is about to run."""

    call: ToolCall


@dataclass(frozen=True)
class Observed:
    """A tool has answered, or failed, which the model is told as well."""

    call: ToolCall
    content: str
    failed: bool
    seconds: float


@dataclass(frozen=True)
class Finished:
    """The loop's end: the last reply, the conversation with all that was added to it, and why it ended."""

    reply: Reply
    messages: list[dict[str, Any]]
    reason: str
    """That of the last reply, or "max_rounds" if it asked for one call too many."""


Event = Wrote | Called | Observed | Finished


def run(
    runtime: Answering,
    messages: Sequence[RawMessage],
    tools: Sequence[Tool | Callable[..., Any]],
    max_rounds: int = 8,
    tool_timeout: float = 30.0,
    cancel: threading.Event | None = None,
    tool_choice: ToolChoice = "auto",
    response_format: Mapping[str, Any] | None = None,
    **options: Any,
) -> Iterator[Event]:
    """Answer a conversation, calling tools where the model asks for them.

    A tool that raises, that is given arguments that do not fit, or that takes more than `tool_timeout` seconds answers
    with its error, and the model goes on from that; the thread of one that takes too long is left to end by itself.
    `options` are those of `Runtime.stream`. Raises Glm4Error for malformed messages, tools or options.
    """
    if max_rounds < 1 or tool_timeout <= 0:
        raise Glm4Error(f"max_rounds is {max_rounds} and tool_timeout {tool_timeout}", "Both must be more than 0.")
    known = _by_name([each if isinstance(each, Tool) else tool(each) for each in tools])
    declared = [each.declaration() for each in known.values()]
    conversation = Conversation.parse(messages, declared or None, tool_choice, response_format)
    said = [dict(message) for message in messages]
    for rounds in itertools.count(1):
        reply = yield from _reply(runtime, conversation, cancel, options)
        added = [reply.message()]
        ended = reply.finish_reason if not reply.tool_calls or reply.finish_reason == "cancelled" else None
        if ended or rounds > max_rounds:
            yield Finished(reply, said + added, ended or "max_rounds")
            return
        for call in reply.tool_calls:
            yield Called(call)
            observed = _observe(known[call.name], call, tool_timeout, cancel)
            yield observed
            added.append({"role": "tool", "tool_call_id": call.id, "content": observed.content})
        said += added
        conversation = conversation.extended(added)


def _by_name(tools: Sequence[Tool]) -> dict[str, Tool]:
    """Raises Glm4Error where two have one name, by which one of them could never be called."""
    known = {each.name: each for each in tools}
    if len(known) < len(tools):
        twice = next(each.name for each in tools if known[each.name] is not each)
        raise Glm4Error(f"Two tools are called {twice}", "Give one of them another name.")
    return known


def _reply(
    runtime: Answering, conversation: Conversation, cancel: threading.Event | None, options: Mapping[str, Any]
) -> Generator[Event, None, Reply]:
    """Tell each chunk of a reply; the whole of it."""
    chunks: list[Chunk] = []
    for chunk in runtime.answer(conversation, cancel, **options):
        chunks.append(chunk)
        yield Wrote(chunk)
    return Reply.join(chunks)


def _observe(asked: Tool, call: ToolCall, timeout: float, cancel: threading.Event | None) -> Observed:
    """Run the tool in a thread of its own, up to the timeout or the cancellation."""
    started, answers = time.perf_counter(), queue.SimpleQueue[tuple[str, bool]]()

    def work() -> None:
        try:
            answers.put((asked.call(call.arguments), False))
        except BaseException as error:  # a tool is anybody's code: whatever it raises is the model's to read
            answers.put((_failure(_told(error)), True))

    threading.Thread(target=work, daemon=True).start()
    while True:
        spent = time.perf_counter() - started
        if cancel and cancel.is_set():
            return Observed(call, _failure("cancelled"), True, spent)
        if spent > timeout:
            return Observed(call, _failure(f"no answer within {timeout:g} seconds"), True, spent)
        try:
            content, failed = answers.get(timeout=min(_LOOK_UP, timeout))
        except queue.Empty:
            continue
        return Observed(call, content or _failure("no output"), failed, time.perf_counter() - started)


def _told(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # it can't even say what it is
        return type(error).__name__


def _failure(reason: str) -> str:
    """What the model reads of a failure; an empty observation would vanish from the prompt."""
    return json.dumps({"error": reason}, ensure_ascii=False)
