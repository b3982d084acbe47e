"""Replies on their way to a client: several side by side, given up when the client leaves, sent as events or lines."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, aclosing
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from starlette.responses import JSONResponse, Response

from ..chat.generation import Chunk
from .errors import ClientLeft, ServerError

Value = TypeVar("Value")
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Write = Callable[[Mapping[str, Any]], str]
"""What writes an object as a stream has it."""


async def side_by_side(replies: Sequence[AsyncGenerator[Chunk, None]]) -> AsyncGenerator[tuple[int, Chunk], None]:
    """The chunks of several replies as they come, each with its reply's place."""
    arrived: asyncio.Queue[tuple[int, Chunk] | Exception | None] = asyncio.Queue()
    tasks = [asyncio.create_task(_forward(index, reply, arrived)) for index, reply in enumerate(replies)]
    try:
        going = len(tasks)
        while going:
            item = await arrived.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                going -= 1
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _forward(index: int, reply: AsyncGenerator[Chunk, None], arrived: "asyncio.Queue[Any]") -> None:
    try:
        async for chunk in reply:
            arrived.put_nowait((index, chunk))
        arrived.put_nowait(None)
    except ServerError as error:
        arrived.put_nowait(error)
    finally:
        await reply.aclose()  # now, so that the engine stops when this task does


async def first_call(stream: AsyncGenerator[Chunk, None], one: bool) -> AsyncGenerator[Chunk, None]:
    """A reply, without the calls after its first where `one` alone is wanted."""
    called = False
    async with aclosing(stream) as chunks:
        async for chunk in chunks:
            if not one:
                yield chunk
                continue
            deltas = tuple(delta for delta in chunk.tool_call_deltas if delta.index == 0)
            calls = () if called else chunk.tool_calls[:1]
            called = called or bool(calls)
            yield replace(chunk, tool_call_deltas=deltas, tool_calls=calls)


async def unless_left(receive: Receive, work: Coroutine[Any, Any, Value]) -> Value:
    """What the work gives; it is given up when the client leaves, and ClientLeft raised."""
    doing = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise ClientLeft("The client has left")
        return doing.result()
    finally:
        leaving.cancel()
        doing.cancel()
        await asyncio.gather(doing, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Events(Response):
    """A stream whose first object is awaited before anything is sent, so that a refusal has its status.

    `places` are held as long as it is sent.
    """

    def __init__(
        self, objects: AsyncGenerator[Mapping[str, Any], None], write: Write, media_type: str,
        fault: Callable[[ServerError], Iterable[Mapping[str, Any]]], places: AbstractContextManager[None],
        end: str = "",
    ) -> None:  # fmt: skip
        self.media_type = media_type
        self._objects, self._write, self._fault, self._places, self._end = objects, write, fault, places, end

    async def begin(self, receive: Receive) -> "Events":
        """Wait for the first object. Raises ServerError, ClientLeft too."""
        self._places.__enter__()
        try:
            self._first = await unless_left(receive, _next(self._objects))
        except BaseException:
            await self._close()
            raise
        return self

    async def __call__(self, scope: Any, receive: Receive, send: Any) -> None:
        try:
            await unless_left(receive, self._send(send))
        except ClientLeft:
            pass  # nobody reads an answer
        finally:
            await self._close()

    async def _send(self, send: Any) -> None:
        kind = f"{self.media_type}; charset=utf-8".encode()
        headers = [(b"content-type", kind), (b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for each in self._lines():
            await send({"type": "http.response.body", "body": each.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _lines(self) -> AsyncGenerator[str, None]:
        yield self._write(self._first)
        try:
            async for each in self._objects:
                yield self._write(each)
        except ServerError as error:
            for each in self._fault(error):
                yield self._write(each)
        yield self._end

    async def _close(self) -> None:
        await self._objects.aclose()
        self._places.__exit__(None, None, None)


class Answering(Protocol):
    """What answers a request, as events or whole."""

    def events(self) -> AsyncGenerator[Mapping[str, Any], None]: ...

    async def answer(self) -> Mapping[str, Any]: ...


async def answered(
    work: Answering, stream: bool | None, receive: Receive, places: AbstractContextManager[None], write: Write,
    fault: Callable[[ServerError], Iterable[Mapping[str, Any]]], end: str = "",
) -> Response:  # fmt: skip
    """The answer as a stream of events (see `Events`), or whole. `places` are held as long as it takes."""
    if stream:
        return await Events(work.events(), write, "text/event-stream", fault, places, end).begin(receive)
    with places:
        return JSONResponse(await unless_left(receive, work.answer()))


async def _next(objects: AsyncGenerator[Mapping[str, Any], None]) -> Mapping[str, Any]:
    return await anext(objects)


def event(data: Mapping[str, Any]) -> str:
    """An event of a stream (SSE), without a name."""
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


def named_event(data: Mapping[str, Any]) -> str:
    """An event whose name is the object's type."""
    return f"event: {data['type']}\n{event(data)}"


def line(data: Mapping[str, Any]) -> str:
    """A line of JSON."""
    return json.dumps(data, ensure_ascii=False) + "\n"
