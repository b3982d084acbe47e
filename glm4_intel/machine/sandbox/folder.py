"""The folder of a process that is not trusted: what is in it is measured while it runs, and removed after."""

import contextlib
import itertools
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """An empty folder, removed with all that is in it then, however deep and whatever its modes are."""
    folder = Path(tempfile.mkdtemp(prefix="glm4-code-")).resolve()
    try:
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Folders are taken out of one another, so that neither the depth nor the length of a path matters."""
    waiting = [folder]
    with contextlib.suppress(OSError):
        while waiting:
            emptied = waiting.pop()
            for entry in list(os.scandir(emptied)):
                if entry.is_dir(follow_symlinks=False):
                    os.chmod(entry.path, 0o700)
                    waiting.append(Path(os.path.join(folder, secrets.token_hex())))
                    os.replace(entry.path, waiting[-1])
                else:
                    os.unlink(entry.path)
            if emptied != folder:
                os.rmdir(emptied)
        os.rmdir(folder)


def usage(folder: Path, process: int, most: int) -> tuple[int, int]:
    """Bytes on the disk and number of the files that a process has in a folder; it stops counting at `most` files.

    Those that it has removed and still holds open count too, where the system shows them (Linux). Raises OSError for
    folders that are too deep to be looked into, or closed.
    """
    found = list(itertools.islice(_files(folder), most + 1))
    held = [each for each in _open_files(process) if each.st_nlink == 0]
    return sum(map(_size, found)) + sum(map(_size, held)), len(found)


def _size(file: os.stat_result) -> int:
    return file.st_blocks * 512 if hasattr(file, "st_blocks") else file.st_size


def _files(folder: Path) -> Iterator[os.stat_result]:
    """What is removed under our hands is passed over."""
    waiting = [str(folder)]
    while waiting:
        with contextlib.suppress(FileNotFoundError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                yield entry.stat(follow_symlinks=False)


def _open_files(process: int) -> Iterator[os.stat_result]:
    with contextlib.suppress(OSError), os.scandir(f"/proc/{process}/fd") as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                found = entry.stat()
                if stat.S_ISREG(found.st_mode):
                    yield found
