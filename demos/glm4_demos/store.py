"""Conversations on disk: a folder for each person, a JSON file for each conversation."""

import hashlib
import json
import re
from pathlib import Path

from glm4_intel.machine.folders import data_folder

from .dialogue import Dialogue

_NAME = re.compile(r"[0-9a-zA-Z_.-]{1,64}")


class Store:
    """One person's conversations. What is not a conversation's file is left alone.

    A name that can't be a folder's, or would be too long for one, is taken by its hash, behind a sign no name has.
    """

    def __init__(self, owner: str, folder: Path | None = None) -> None:
        base = folder or data_folder() / "conversations"
        plain = _NAME.fullmatch(owner) and owner.strip(".")
        self._folder = base / (owner if plain else f"~{hashlib.sha256(owner.encode()).hexdigest()}")

    def save(self, dialogue: Dialogue) -> None:
        """Write a conversation in one step: a full disk or a crash leaves the one before."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(dialogue.id)
        temporary = path.with_suffix(".tmp")
        temporary.touch(mode=0o600)
        temporary.write_text(dialogue.as_json(), encoding="utf-8")
        temporary.replace(path)

    def open(self, id: str) -> Dialogue | None:
        """The conversation of that id; None if there is none that can be read."""
        try:
            return Dialogue.from_dict(json.loads(self._path(id).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def delete(self, id: str) -> None:
        self._path(id).unlink(missing_ok=True)

    def titles(self) -> list[tuple[str, str]]:
        """(title, id) of each conversation, the latest first."""
        if not self._folder.is_dir():
            return []
        files = sorted(self._folder.glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
        opened = [self.open(file.stem) for file in files]
        return [(each.title or "…", each.id) for each in opened if each]

    def _path(self, id: str) -> Path:
        if not re.fullmatch(r"[0-9a-f]{32}", id):
            raise ValueError(f"{id!r} is no conversation's id")
        return self._folder / f"{id}.json"
