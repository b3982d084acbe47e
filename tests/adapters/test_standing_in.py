"""The folder that stands in for a model directory while an engine opens it."""

import os
import shutil
from pathlib import Path

import pytest

from glm4_intel.backends.standing_in import standing_in


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("openvino_model.xml", "config.json", "tokenizer.json"):
        (folder / name).write_text(name)
    return folder


def test_what_a_killed_process_left_is_removed_and_what_is_in_use_is_kept(directory: Path, tmp_path: Path) -> None:
    """By a lock, which other containers and hosts see, and not by the number of a process."""
    place = tmp_path / "cache"
    with standing_in(directory, place, ()) as used:
        left = used.with_name(f"{used.name}-left")
        shutil.copytree(used, left)  # the same in all but that nobody holds it
        just_made = used.with_name(f"{used.name}-new")
        just_made.mkdir()
        with standing_in(directory, place, ()) as other:
            assert sorted(place.iterdir()) == sorted((used, just_made, other))
        assert used.is_dir() and not other.exists()
    assert list(place.iterdir()) == [just_made]


def test_files_are_linked_or_copied(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise OSError("A required privilege is not held by the client")

    for is_link in (True, False):
        if not is_link:
            monkeypatch.setattr(os, "symlink", refuse)
        with standing_in(directory, tmp_path, ("openvino_model.xml",)) as folder:
            files = [file for file in folder.iterdir() if not file.name.startswith(".")]
            assert {file.name: file.read_text() for file in files} == {
                name: name for name in ("config.json", "tokenizer.json")
            }
            assert all(file.is_symlink() == is_link for file in files)
