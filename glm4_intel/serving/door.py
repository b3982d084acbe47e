"""The door in front of every address: who may come in, a number for each request, and a line in the log."""

import json
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

from .errors import Forbidden, ServerError, Unauthorized
from .keys import Keys
from .metrics import Metrics
from .names import Asked, Names, asked

log = logging.getLogger(f"{__name__}.access")

_OPEN = ("/health", "/ready")
"""What whoever watches a server asks, which has no key."""
_REQUEST_ID = re.compile(r"[\w.-]{1,100}")
_LISTED = re.compile(r"/(v1|api)/[\w/]+|/\w+")


@dataclass(frozen=True)
class Door:
    """One ASGI layer, outside of all others."""

    app: Any
    names: Names
    refuse: Callable[[str, ServerError], Response]
    """Writes a refusal in the shape of the API that a path belongs to."""
    metrics: Metrics
    keys: Keys | None = None
    origins: frozenset[str] = field(default_factory=frozenset)
    """Sites whose scripts may ask."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = asked(scope)
        visit = _Visit(scope, request, send, self._extra_headers(request))
        try:
            await self._answer(request)(scope, receive, visit.send)
        finally:
            visit.log()
            self.metrics.count_request(visit.path, visit.status)

    def _answer(self, request: Asked) -> Any:
        """What answers: the app, or a refusal."""
        if why := self.names.refusal(request):
            return self.refuse(request.path, Forbidden(why))
        if request.method == "OPTIONS" and request.first("origin") in self.origins:
            return Response(status_code=204)
        if self.keys and request.path not in _OPEN and not self.keys.know(_key(request)):
            return self.refuse(request.path, Unauthorized("The API key is missing or wrong"))
        return self.app

    def _extra_headers(self, request: Asked) -> list[tuple[bytes, bytes]]:
        origin = request.first("origin")
        if origin not in self.origins:
            return []
        return [
            (b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"origin"),
            (b"access-control-allow-methods", b"GET, POST"), (b"access-control-max-age", b"600"),
            (b"access-control-allow-headers", request.first("access-control-request-headers").encode("latin-1")),
            (b"access-control-expose-headers", b"x-request-id, retry-after"),
        ]  # fmt: skip


class _Visit:
    """A request on its way: its number goes into the answer, its outcome into the log."""

    def __init__(self, scope: Any, request: Asked, answer: Any, headers: Iterable[tuple[bytes, bytes]]) -> None:
        told = request.first("x-request-id")
        self.id = told if _REQUEST_ID.fullmatch(told) else f"req_{uuid.uuid4().hex}"
        self.status, self._started, self._answer, self._bytes = 499, time.monotonic(), answer, 0
        self._headers = [(b"x-request-id", self.id.encode()), (b"x-content-type-options", b"nosniff"), *headers]
        self._method, self._client = request.method, (scope.get("client") or ("",))[0]
        self.path = request.path if len(request.path) < 40 and _LISTED.fullmatch(request.path) else "other"

    async def send(self, message: Any) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), *self._headers]}
        self._bytes += len(message.get("body", b""))
        await self._answer(message)

    def log(self) -> None:
        """One line of JSON: nothing of what was asked or answered."""
        told = {
            "id": self.id,
            "client": self._client,
            "method": self._method,
            "path": self.path,
            "status": self.status,
            "bytes": self._bytes,
            "seconds": round(time.monotonic() - self._started, 4),
        }
        log.info(json.dumps(told))  # fmt: skip


def _key(request: Asked) -> str:
    """The key of a request, as OpenAI's clients send it or as Anthropic's do."""
    scheme, _, token = request.first("authorization").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else request.first("x-api-key")
