"""The gate in front of every route of the page, Gradio's own included: one ASGI layer, outside of all others."""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import ClientDisconnect

from glm4_intel.serving.names import Names, asked

from .logins import LoginPace
from .neighbours import is_ours

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OURS = "x-glm4-ours"
"""The header that tells the page who asks."""
_MOST_TEXT = 4 << 20
"""Bytes of a request that brings no file."""
_FORM = 64 << 10
"""Bytes that a form takes beside its file."""
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "frame-ancestors 'none'"
)
"""Content-Security-Policy: nothing from another host, whatever a reply holds."""
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
]


@dataclass
class Gate:
    """Refuses, each in one line, what has no business here; the rest goes on to the page."""

    names: Names
    most: int
    """Bytes of an upload."""
    room: Callable[[], bool] = lambda: True
    """Whether there is room for another upload."""
    personal: bool = False
    """Whether the page is for one person, who is told from others on the same machine."""
    pace: LoginPace = field(default_factory=LoginPace)

    def before(self, app: App) -> App:
        """The app behind this gate."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] not in ("http", "websocket"):
                await app(scope, receive, send)
            elif refusal := self.names.refusal(asked(scope)):
                await _refuse(scope, send, 403, refusal)
            elif scope["type"] == "websocket":
                await app(scope, receive, send)
            else:
                await self._let_in(app, self._marked(scope), receive, send)

        return guarded

    def _marked(self, scope: Scope) -> Scope:
        """The request with OURS among its headers where the person whose page this is sends it, and only there."""
        others = [(name, value) for name, value in scope["headers"] if name.lower() != OURS.encode()]
        asks = self.personal and scope["method"] == "POST" and scope.get("client")
        ours = [(OURS.encode(), b"1")] if asks and is_ours(tuple(scope["client"])) else []
        return {**scope, "headers": others + ours}

    async def _let_in(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        if _ends_with(scope, "/upload") and not self.room():
            await _refuse(scope, send, 507, "There is no room for more files now. Try again in an hour.")
        elif scope["method"] == "POST" and _ends_with(scope, "/login"):
            await self._log_in(app, scope, receive, send)
        else:
            await self._within_limits(app, scope, receive, send)

    async def _log_in(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        address = scope["client"][0] if scope.get("client") else ""
        let_through, wait = self.pace.attempt(address)
        if not let_through:
            told = f"Too many attempts to log in. Try again in {wait:.0f} seconds."
            await _refuse(scope, send, 429, told, [(b"retry-after", str(int(wait) + 1).encode())])
            return
        await asyncio.sleep(wait)

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                self.pace.succeeded(address)
            await send(message)

        await self._within_limits(app, scope, receive, sent)

    async def _within_limits(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in up to the size that is taken, and give its answer the page's headers."""
        most = self.most + _FORM if _ends_with(scope, "/upload") else _MOST_TEXT
        exchange = _Exchange(scope, receive, send, most)
        if _announced(scope) > most:
            await exchange.refuse()
            return
        try:
            await app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            if not exchange.refused:
                raise


@dataclass
class _Exchange:
    """A request that is read up to a size, and its answer with the page's headers."""

    scope: Scope
    received: Receive
    answer: Send
    most: int
    taken: int = 0
    answered: bool = False
    refused: bool = False

    async def receive(self) -> Message:
        """The next part; beyond the size the sender is refused, and to the page it has gone."""
        message = await self.received()
        self.taken += len(message.get("body", b""))
        if self.taken <= self.most:
            return message
        await self.refuse()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self.refused:
            return
        self.answered = True
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *_HEADERS]
        await self.answer(message)

    async def refuse(self) -> None:
        if self.answered or self.refused:
            return
        self.refused = True
        told = f"This is larger than the {self.most >> 20} MB that the page takes."
        await _refuse(self.scope, self.answer, 413, told)


def _announced(scope: Scope) -> int:
    """The Content-Length; 0 where there is none that can be read."""
    told = next((value for name, value in scope["headers"] if name.lower() == b"content-length"), b"0")
    return int(told) if told.isdigit() else 0


def _ends_with(scope: Scope, ending: str) -> bool:
    return str(scope["path"]).rstrip("/").endswith(ending)


async def _refuse(
    scope: Scope, send: Send, status: int, why: str, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": why})
        return
    body = json.dumps({"detail": why}).encode()
    kind = [(b"content-type", b"application/json"), (b"connection", b"close"), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": [*kind, *_HEADERS]})
    await send({"type": "http.response.body", "body": body})
