"""A file that one program holds at a time; what holds it lets go when it ends, however it ends."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


def hold(path: Path) -> IO[str] | None:
    """The file, held until it is closed; None while somebody else holds it. Raises OSError where it can't be opened."""
    file = _opened(path)
    try:
        _lock(file, wait=False)
    except OSError:
        file.close()
        return None
    return file


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Wait for the file, and hold it. Where the file system knows no locks, go on without."""
    with _opened(path) as file:
        with suppress(OSError):
            _lock(file, wait=True)
        yield


def _opened(path: Path) -> IO[str]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8")


if sys.platform == "win32":

    def _lock(file: IO[str], wait: bool) -> None:
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)

else:

    def _lock(file: IO[str], wait: bool) -> None:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
