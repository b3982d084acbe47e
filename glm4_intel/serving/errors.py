"""What a server answers instead of a reply: a status, one line, and the field at fault. Each API gives it its shape."""

from ..errors import Glm4Error


class ServerError(Glm4Error):
    """A refusal that knows its HTTP status."""

    status = 400

    def __init__(self, message: str, hint: str = "", field: str | None = None, retry_after: float | None = None):
        super().__init__(message, hint)
        self.field = field
        self.retry_after = retry_after
        """Seconds."""

    @property
    def told(self) -> str:
        """The message and what next, in one line."""
        return f"{self}. {self.hint}" if self.hint else str(self)


class BadRequest(ServerError):
    """What was asked for is malformed, or can't be done."""


class Unauthorized(ServerError):
    """No key, or a wrong one."""

    status = 401


class Forbidden(ServerError):
    """Another site, or another name."""

    status = 403


class NotFound(ServerError):
    """There is no such model or address."""

    status = 404


class NotAllowed(ServerError):
    """The address is there, and not for this method."""

    status = 405


class TooLarge(ServerError):
    """The body is longer than is taken."""

    status = 413


class Busy(ServerError):
    """The queue is full."""

    status = 429


class ClientLeft(ServerError):
    """Nobody waits for the answer. The status is nginx's, for the log."""

    status = 499


class EngineFailed(ServerError):
    """The engine refused in the middle of a reply."""

    status = 500


class Unavailable(ServerError):
    """The engine is not there now: it is loading, has ended, or was stuck."""

    status = 503


def as_server_error(error: Glm4Error) -> ServerError:
    """A library's error as the client is told it: what is wrong with the request."""
    if isinstance(error, ServerError):
        return error
    words = str(error).split()
    field = words[0] if words and ("." in words[0] or "[" in words[0] or words[0] in FIELDS) else None
    return BadRequest(str(error), error.hint, field)


FIELDS = {"messages", "tools", "tool_choice", "response_format", "temperature", "top_p", "top_k", "min_p", "seed",
          "stop", "repetition_penalty", "presence_penalty", "frequency_penalty", "max_new_tokens",
          "stop_token_ids"}  # fmt: skip
"""With which the library begins a message about one."""
