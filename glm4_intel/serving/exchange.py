"""Requests to a server, with the standard library alone. Every way in which one can fail is one line."""

import contextlib
import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ..errors import Glm4Error

_PATIENCE = 600.0
"""Seconds without a word from the server; it is silent while it reads a long prompt or loads a model."""
_MOST = 16 << 20
"""Bytes of an answer, or of a line of a stream, that are read at most."""


@dataclass(frozen=True)
class Server:
    """Where a server is, and the key that it asks for."""

    url: str
    key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Raises Glm4Error for what is no address of a server."""
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable or any(ord(letter) <= 32 for letter in self.url):
            raise Glm4Error(f"--server {self.url} is no address", "For example: --server http://127.0.0.1:8000")
        if not self.key.isascii() or not self.key.isprintable():
            raise Glm4Error("The server's key has characters that no key can have", "Write it again.")

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer to a request, as JSON. Raises Glm4Error for everything else."""
        with Exchange(self, method, path, body) as exchange:
            return exchange.json()


class Exchange:
    """A request and its answer. Raises Glm4Error where there is none, or another than 200."""

    def __init__(self, server: Server, method: str, path: str, body: Any) -> None:
        self.server = server
        parts = urlsplit(server.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port, timeout=_PATIENCE)
        headers = {"Content-Type": "application/json"}
        headers |= {"Authorization": f"Bearer {server.key}"} if server.key else {}
        base = parts.path.rstrip("/").removesuffix("/v1")
        data = None if body is None else json.dumps(body).encode()
        with self._telling():
            self._connection.request(method, base + path, data, headers)
            self._socket = self._connection.sock
            self._answer = self._connection.getresponse()
        if self._answer.status != 200:
            try:
                raise self._refusal()
            finally:
                self.close()

    def __enter__(self) -> "Exchange":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave: the server stops what it was writing."""
        with contextlib.suppress(OSError):  # it has ended already
            self._socket.shutdown(socket.SHUT_RDWR)  # a thread that waits for the next line is let go
        self._connection.close()

    def json(self) -> Any:
        with self._telling():
            content = self._answer.read(_MOST)
            if self._answer.length:
                raise http.client.IncompleteRead(content)
        try:
            return json.loads(content)
        except ValueError as error:
            raise self._other() from error

    def lines(self) -> Iterator[bytes]:
        """The lines of a stream, up to its end."""
        with self._telling():
            while line := self._answer.readline(_MOST):
                yield line

    def _telling(self) -> "_Telling":
        return _Telling(self.server)

    def _refusal(self) -> Glm4Error:
        status = self._answer.status
        if status in (401, 403):
            return Glm4Error(
                f"{self.server.url} refuses the key, or wants one", "Give it in GLM4_API_KEY or --api-key-file."
            )
        try:
            told = json.loads(self._answer.read(_MOST))["error"]
            message = told["message"] if isinstance(told, Mapping) else told
        except (ValueError, KeyError, TypeError, OSError, http.client.HTTPException):
            return self._other()
        return Glm4Error(f"The server answers {status}: {' '.join(str(message).split())[:500]}")

    def _other(self) -> Glm4Error:
        return Glm4Error(
            f"{self.server.url} answers {self._answer.status}, and not as OpenAI's API does",
            "Is it the address of another server?",
        )


@dataclass(frozen=True)
class _Telling:
    """What goes wrong on the way, as one line."""

    server: Server

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        url = self.server.url
        if isinstance(error, ssl.SSLError):
            raise Glm4Error(f"{url} can't be trusted, or speaks no TLS: {error.reason or error}") from error
        if isinstance(error, (http.client.IncompleteRead, http.client.RemoteDisconnected, ConnectionResetError)):
            raise Glm4Error(f"{url} has ended the connection", "Is it still running? Ask again.") from error
        if isinstance(error, TimeoutError):
            raise Glm4Error(f"{url} does not answer", "Check the address, and whether it is running.") from error
        if isinstance(error, OSError):
            raise Glm4Error(f"No server answers at {url}: {error.strerror or error}",
                            "Start one: glm4-intel serve") from error  # fmt: skip
        if isinstance(error, (http.client.HTTPException, ValueError)):
            raise Glm4Error(f"{url} does not speak HTTP as it should", "Is it another server, or https?") from error
