"""The names that a page or an API is served under, and which sites may send to it.

A browser tells in Host which name it looked up, and in Origin and Sec-Fetch-Site whose script sends. A site that points
a name of its own at this machine (DNS rebinding) shows in the first, one that sends from elsewhere in the others.
"""

import ipaddress
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:/@\\\s?#]+)(?::(\d{1,5}))?")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_READS = ("GET", "HEAD")


@dataclass(frozen=True)
class Authority:
    """A host's name or address, without brackets, and its port where one is told."""

    name: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> "Authority | None":
        """`name`, `name:port` or `[IPv6]:port`; None for anything else."""
        found = _AUTHORITY.fullmatch(text.strip().lower())
        if not found:
            return None
        name = found[1].strip("[]") if found[1].startswith("[") else found[1].rstrip(".")
        return cls(_plain(name), int(found[2]) if found[2] else None) if name else None

    @classmethod
    def of_origin(cls, text: str) -> "Authority | None":
        """Of an Origin header, with the port that its scheme implies; None for `null` and the like."""
        scheme, _, rest = text.strip().lower().partition("://")
        found = cls.parse(rest) if scheme in _DEFAULT_PORTS else None
        return cls(found.name, found.port or _DEFAULT_PORTS[scheme]) if found else None


@dataclass(frozen=True)
class Asked:
    """What matters of a request. Headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, Sequence[str]]

    def first(self, header: str) -> str:
        return next(iter(self.headers.get(header, ())), "")


def asked(scope: Mapping[str, Any]) -> Asked:
    """Of an ASGI connection."""
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return Asked(scope.get("method", "WEBSOCKET"), scope["path"], headers)


class Names:
    """The names of a server: the loopback's, the address that it listens on, and those that were `given`.

    Where it listens everywhere, each address is its own: only a name can be pointed elsewhere. `origins` are other
    sites that may send to it, each as a browser tells it: `https://chat.example.org`.
    """

    def __init__(self, host: str, given: Sequence[str] = (), root_path: str = "", origins: Sequence[str] = ()) -> None:
        self._origins = frozenset(origins)
        listening = Authority.parse(f"[{host}]" if ":" in host and not host.startswith("[") else host)
        self._given = [each for text in given if (each := Authority.parse(text))]
        self._everywhere = listening is None or listening.name in ("0.0.0.0", "::")
        own = [socket.gethostname().lower()] if self._everywhere or listening is None else [listening.name]
        self._known = {"localhost", *own, *(each.name for each in self._given)}
        self._home = {"", "/", root_path, f"{root_path}/"}

    def refusal(self, asked: Asked) -> str:
        """Why a request is refused, in one line; empty where it is let in."""
        hosts = [*asked.headers.get("host", ()), *_listed(asked.headers.get("x-forwarded-host", ()))]
        unknown = [host for host in hosts if not self._is_known(Authority.parse(host))]
        if unknown or len(asked.headers.get("host", ())) != 1:
            named = "".join(unknown[:1])[:80] or "no single name"
            return f"Nothing is served here as {named!a}. The owner can allow a name with --allowed-host."
        if asked.first("origin") not in self._origins and self._is_foreign(asked):
            return "Another site may not use this one. The owner can allow this one's own name with --allowed-host."
        return ""

    def _is_known(self, host: Authority | None) -> bool:
        if host is None:
            return False
        address = _address(host.name)
        return host.name in self._known or bool(address and (self._everywhere or address.is_loopback))

    def _is_foreign(self, asked: Asked) -> bool:
        """Whether another site's script sends this. A link or bookmark that only opens the page is let in."""
        site, origin = asked.first("sec-fetch-site"), asked.first("origin")
        if site in ("cross-site", "same-site") and not self._only_opens(asked):
            return True
        return bool(origin) and not self._is_own(Authority.of_origin(origin), asked, site)

    def _only_opens(self, asked: Asked) -> bool:
        mode = asked.first("sec-fetch-mode")
        return asked.method in _READS and mode == "navigate" and asked.path in self._home

    def _is_own(self, origin: Authority | None, asked: Asked, site: str) -> bool:
        """Whether an origin is the page itself. The browser's word settles it where a proxy changed the port."""
        if origin is None:
            return False
        host = Authority.parse(asked.first("host"))
        if host and origin in (
            host,
            *(Authority(host.name, port) for port in _DEFAULT_PORTS.values() if not host.port),
        ):
            return True
        if any(given.name == origin.name and (given.port or origin.port) == origin.port
               and (given.port or origin.port in _DEFAULT_PORTS.values()) for given in self._given):  # fmt: skip
            return True
        return site == "same-origin" and self._is_known(origin)


def _listed(values: Sequence[str]) -> list[str]:
    return [each for value in values for each in value.split(",")]


def _plain(name: str) -> str:
    """An address in its usual spelling; a name as it is."""
    address = _address(name)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address or name)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def bracketed(host: str) -> str:
    """The host as it stands in an address."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def is_local(host: str) -> bool:
    """Whether nobody but this machine's own programs reach what listens there."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
