"""Where visitors' files lie until they are read: a folder of this user's alone, of a limited size, gone in the end."""

import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from glm4_intel import Glm4Error
from glm4_intel.machine.folders import cache_folder

from ..locking import held, hold

_LOCK = "held"


class Uploads:
    """A folder of this server's own. What servers that were killed have left is removed when another starts."""

    def __init__(self, most: int, base: Path | None = None, keep: float = 3600.0) -> None:
        """`most` bytes a file, ten times that in all; a file that is not sent within `keep` seconds is removed."""
        self.most, self._keep = most, keep
        self.folder, self._lock = _own_folder(base or cache_folder() / "uploads")

    def has_room(self) -> bool:
        """Whether another file may come, once the old ones are gone."""
        latest, total = time.time() - self._keep, 0
        for file in self._files():
            with suppress(OSError):
                state = file.stat()
                if state.st_mtime < latest:
                    self.remove(file)
                else:
                    total += state.st_size
        return total <= 9 * self.most

    def checked(self, file: str) -> Path:
        """A file of this folder. Raises Glm4Error for any other, and for one that is gone."""
        path = Path(file).resolve()
        if not path.is_relative_to(self.folder.resolve()) or not path.is_file():
            raise Glm4Error("The file is not there any more", "Add it again.")
        return path

    def remove(self, file: Path) -> None:
        """Forget a file, and the folder that it was alone in."""
        with suppress(OSError):
            file.unlink(missing_ok=True)
            if file.parent != self.folder:
                file.parent.rmdir()

    def close(self) -> None:
        """Remove the folder and all that is in it."""
        if self._lock:
            self._lock.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _files(self) -> list[Path]:
        return [each for each in self.folder.rglob("*") if each.is_file() and each.name != _LOCK]


def _own_folder(base: Path) -> tuple[Path, IO[str] | None]:
    """A new folder in `base`, where it can be written, and what holds it; else one among temporary files."""
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chmod(base, 0o700)
        with held(base / _LOCK):  # until ours is held too, nobody looks for leftovers
            _remove_leftovers(base)
            folder = Path(tempfile.mkdtemp(dir=base))
            return folder, hold(folder / _LOCK)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="glm4-uploads-")), None


def _remove_leftovers(base: Path) -> None:
    """The folders in `base` whose server has ended."""
    for folder in base.iterdir():
        if not (folder / _LOCK).is_file():
            continue  # not one of ours
        lock = hold(folder / _LOCK)
        if lock:
            lock.close()
            shutil.rmtree(folder, ignore_errors=True)
