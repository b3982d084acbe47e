"""The address that a page listens on: whether it is free, before a model is loaded."""

import socket
import sys

from glm4_intel.errors import Glm4Error
from glm4_intel.serving.names import bracketed


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
            f"{bracketed(host)}:{port} can't be listened on: {reason}", "Choose another with --port, or another --host."
        ) from error
