"""The address that a page listens on: whether it is free, before a model is loaded, and how a browser is told of it."""

import ipaddress
import socket
import sys

from glm4_intel.errors import Glm4Error


def require_free(host: str, port: int) -> None:
    """Raises Glm4Error for a host that is not this machine's, and a port that is taken or may not be."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as tried:
            if sys.platform != "win32":  # where this option would take a port from its owner
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Glm4Error(
            f"{in_url(host)}:{port} can't be listened on: {reason}", "Choose another with --port, or another --host."
        ) from error


def in_url(host: str) -> str:
    """A host as URLs have it: an IPv6 address in brackets."""
    return f"[{host}]" if _version(host) == 6 else host


def is_local(host: str) -> bool:
    """Whether a host is this machine alone."""
    return host == "localhost" or (_version(host) is not None and ipaddress.ip_address(host).is_loopback)


def _version(host: str) -> int | None:
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return None
