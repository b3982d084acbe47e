"""A folder that stands in for a model directory while an engine opens it: another IR beside the directory's files."""

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

_PREFIX = "glm4-intel-loading."
_SIGN = ".in-use"
"""A file that is locked for as long as its folder is used. A process's number would tell nothing in another container,
nor on another host, and both may share the place."""


@contextmanager
def standing_in(directory: Path, place: Path, left_out: Collection[str]) -> Iterator[Path]:
    """A new folder in `place` with a directory's files, but for those `left_out`, which the caller writes.

    Files are linked, or copied where links can't be made. What processes left in `place` that were killed is removed
    first. Raises OSError where it can't be written.
    """
    place.mkdir(parents=True, exist_ok=True)
    _remove_left_behind(place)
    with TemporaryDirectory(dir=place, prefix=_PREFIX, ignore_cleanup_errors=True) as name, _sign_of_use(Path(name)):
        for file in directory.iterdir():
            if file.is_file() and file.name not in (*left_out, _SIGN):
                _link(file.resolve(), Path(name) / file.name)
        yield Path(name)


def _link(file: Path, link: Path) -> None:
    try:
        os.symlink(file, link)
    except OSError:  # Windows lets few users make links
        shutil.copyfile(file, link)


@contextmanager
def _sign_of_use(folder: Path) -> Iterator[None]:
    """Keep the folder's sign open and locked."""
    with (folder / _SIGN).open("wb") as sign:
        with suppress(OSError):  # a file system without locks, where nothing can be told to be left behind
            _lock(sign, wait=True)
        sign.write(b"\n")
        sign.flush()
        yield


def _remove_left_behind(place: Path) -> None:
    for folder in place.glob(f"{_PREFIX}*"):
        if _is_left_behind(folder / _SIGN):
            shutil.rmtree(folder, ignore_errors=True)


def _is_left_behind(sign: Path) -> bool:
    """Whether nobody holds it. One that is empty has just been made and is about to be locked."""
    try:
        if os.name != "posix":
            sign.unlink()  # which Windows refuses for a file that is open
            return True
        with sign.open("r+b") as file:
            _lock(file, wait=False)
            return bool(file.read(1))
    except OSError:  # it is held, not there yet, or another user's
        return False


def _lock(file: BinaryIO, wait: bool) -> None:
    """Raises OSError where another holds it and there is no waiting, or where there are no locks."""
    if os.name == "posix":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
