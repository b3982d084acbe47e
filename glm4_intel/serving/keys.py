"""Files of secrets, and the keys by which an API's clients are known."""

import hashlib
import hmac
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from ..errors import Glm4Error

_OTHERS = stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH
_SHORTEST = 8


def read_secrets(file: Path, option: str) -> list[tuple[int, str]]:
    """The lines of a file with their numbers; empty ones and those that begin with # are skipped.

    Raises Glm4Error, naming the option, where it can't be read, and where other users of the machine can.
    """
    try:
        readable_by = stat.S_IMODE(file.stat().st_mode) if os.name == "posix" else 0
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise Glm4Error(f"{option} {file} can't be read: {reason}", "Check the path.") from error
    if readable_by & _OTHERS:
        raise Glm4Error(f"{option} {file} can be read or written by other users", f"Run: chmod 600 {file}")
    told = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    return [(number, line) for number, line in told if line and not line.startswith("#")]


class Keys:
    """The keys that are let in; how long a comparison takes tells nothing of them."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    @classmethod
    def from_file(cls, file: Path) -> "Keys":
        """A key a line. Raises Glm4Error as `read_secrets` does, and for a file without keys or with a short one."""
        told = read_secrets(file, "--api-key-file")
        if not told:
            raise Glm4Error(f"--api-key-file {file} has no key", "Write one a line.")
        for number, key in told:
            if len(key) < _SHORTEST:
                raise Glm4Error(f"--api-key-file {file}, line {number}, is shorter than {_SHORTEST} characters")
        return cls([key for _, key in told])

    def know(self, key: str) -> bool:
        """Whether a key is one of them; all are compared, whichever it is."""
        given = _digest(key)
        return any([hmac.compare_digest(given, digest) for digest in self._digests])


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
