"""Conversations on disk: a folder for each person, a JSON file for each conversation, for the page and the terminal.

Two tabs or programs may have the same conversation open. A file's version tells when the other one has written; then
nothing is written over: what was said here is kept as a conversation of its own.
"""

import contextlib
import functools
import hashlib
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from glm4_intel import Glm4Error
from glm4_intel.machine.folders import data_folder

from .dialogue import Dialogue
from .locking import held

HERE = ":here"
"""Whoever uses this machine's own page and terminal. No user has this name: with a colon, it can't log in."""
_NAME = re.compile(r"[0-9a-zA-Z_.-]{1,64}")


class Saved(Enum):
    """What has become of a dialogue that was to be saved."""

    THERE = "in its place"
    BESIDE = "as a conversation of its own, since another tab or program had gone on with it"
    DELETED = "nowhere, since another tab or program had deleted it"


class Store:
    """One person's conversations. What is not a conversation's file is left alone.

    A name that can't be a folder's, or would be too long for one, is taken by its hash, behind a sign no name has.
    """

    def __init__(self, owner: str, folder: Path | None = None) -> None:
        self._base = folder or data_folder() / "conversations"
        plain = _NAME.fullmatch(owner) and owner.strip(".")
        hashed = "~here" if owner == HERE else f"~{hashlib.sha256(owner.encode('utf-8', 'replace')).hexdigest()}"
        self._folder = self._base / (owner if plain else hashed)

    def save(self, dialogue: Dialogue) -> Saved:
        """Write a conversation in one step: a full disk or a crash leaves the one before. Raises OSError.

        Where it has changed meanwhile, it gets another id and is kept beside; one that was deleted stays so.
        """
        dialogue.unsaved = True
        with self._alone():
            saved = self._place(dialogue)
            if saved is not Saved.DELETED:
                self._write(dialogue)
        dialogue.unsaved = False
        return saved

    def newest(self, dialogue: Dialogue) -> Dialogue | None:
        """The conversation as another tab or program has left it; itself where none has; None where it was deleted."""
        if dialogue.version == 0:
            return dialogue
        path = self._path(dialogue.id)
        if not path.exists() and self._folder.is_dir():
            return None
        head = self._head(path)
        if head is None or head[1] == dialogue.version:
            return dialogue
        if dialogue.unsaved:
            dialogue.part()
            return dialogue
        return self.open(dialogue.id) or dialogue

    def open(self, id: str) -> Dialogue | None:
        """The conversation of that id; None if there is none that can be read."""
        try:
            return Dialogue.from_json(self._path(id).read_text(encoding="utf-8"))
        except (OSError, ValueError, Glm4Error):
            return None

    def delete(self, id: str) -> None:
        path = self._path(id)
        path.unlink(missing_ok=True)
        path.with_suffix(".tmp").unlink(missing_ok=True)

    def titles(self) -> list[tuple[str, str]]:
        """(title, id) of each conversation, the latest first."""
        heads = [(head, file.stem) for file in self._folder.glob("*.json") if (head := self._head(file))]
        return [(title or "…", id) for (title, _, _), id in sorted(heads, key=lambda each: each[0][2], reverse=True)]

    def latest(self) -> Dialogue | None:
        """The conversation that was saved last."""
        titles = self.titles()
        return self.open(titles[0][1]) if titles else None

    def take_over(self, other: "Store") -> None:
        """Move another's conversations here."""
        if other._folder.is_dir():
            self._make_folder()
            for file in other._folder.glob("*.json"):
                file.replace(self._folder / file.name)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder against other tabs and programs."""
        self._make_folder()
        with held(self._folder / ".lock"):
            yield

    def _make_folder(self) -> None:
        for folder in (self._base, self._folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(OSError):  # a file system without modes
                folder.chmod(0o700)

    def _place(self, dialogue: Dialogue) -> Saved:
        """Where a dialogue goes, beside what there is now; it is given its id and version."""
        there = self.open(dialogue.id)
        if dialogue.version and not self._path(dialogue.id).exists():
            return Saved.DELETED
        if there and there.version != dialogue.version and not dialogue.join(there):
            dialogue.part()
            return Saved.BESIDE
        return Saved.THERE

    def _write(self, dialogue: Dialogue) -> None:
        path = self._path(dialogue.id)
        temporary = path.with_suffix(".tmp")
        temporary.unlink(missing_ok=True)
        dialogue.version += 1
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(dialogue.as_json().encode("utf-8", "replace"))
                file.flush()
                os.fsync(file.fileno())
            os.utime(temporary, ns=(now := time.time_ns(), now))  # finer than the file system's own clock
            temporary.replace(path)
        except OSError:
            dialogue.version -= 1
            temporary.unlink(missing_ok=True)
            raise

    def _head(self, file: Path) -> tuple[str, int, int] | None:
        """Title, version and time of a conversation's file; None if there is none that can be read."""
        try:
            state = file.stat()
        except OSError:
            return None
        head = _read_head(file, state.st_mtime_ns, state.st_size)
        return (*head, state.st_mtime_ns) if head else None

    def _path(self, id: str) -> Path:
        if not re.fullmatch(r"[0-9a-f]{32}", id):
            raise ValueError(f"{id!r} is no conversation's id")
        return self._folder / f"{id}.json"


@functools.lru_cache(maxsize=4096)
def _read_head(file: Path, changed: int, size: int) -> tuple[str, int] | None:
    """Title and version, read once for each state of a file: a document in it may be long."""
    try:
        dialogue = Dialogue.from_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, Glm4Error):
        return None
    return dialogue.title, dialogue.version
