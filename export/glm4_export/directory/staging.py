"""A model directory grows beside its place and takes it when it is whole.

Nothing is ever removed that does not carry a mark of an export: what grows has the file `export.pid`, and what is being
replaced `export.replaced`.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glm4_intel.errors import Glm4Error
from glm4_intel.model_directory import MANIFEST, UNFINISHED, read_manifest, require_text

_OWNER, _REPLACED = "export.pid", "export.replaced"
_OLD = ".old"


def require_place(out: Path, checkpoint: Path | None, overwrite: bool) -> None:
    """Raises Glm4Error where `out` is taken, by what may not be replaced or without `overwrite`, or can't be made.

    `checkpoint` is None as long as its folder is not known.
    """
    require_text(out.absolute())
    if out.is_symlink():
        raise Glm4Error(f"{out} is a symbolic link", "Give the folder that it points to, or a new one.")
    if not out.exists():
        return
    if checkpoint and checkpoint.resolve().is_relative_to(out.resolve()):
        raise Glm4Error(f"{out} holds the checkpoint", "Choose another folder for the model directory.")
    if not overwrite:
        raise Glm4Error(f"{out} exists", "Choose another folder, or replace it with --overwrite.")
    if foreign := _foreign(out):
        raise Glm4Error(f"{out} holds {foreign}, which no export made", "Move it, or choose another folder.")


def _foreign(out: Path) -> str:
    """A file in a model directory that is not the model's; empty where all are. Raises Glm4Error for another folder."""
    try:
        manifest = read_manifest(out)
    except Glm4Error as error:
        raise Glm4Error(str(error), "Remove the folder yourself, or choose another.") from error
    if manifest is None:
        raise Glm4Error(f"{out} is no model directory, and nothing else is replaced", "Choose another folder.")
    own = {*manifest.files, MANIFEST, f"{MANIFEST}.tmp", _OWNER, _REPLACED}
    files = (file for file in sorted(out.rglob("*")) if not file.is_dir() or file.is_symlink())
    return next((name for file in files if (name := file.relative_to(out).as_posix()) not in own), "")


@contextmanager
def growing(out: Path) -> Iterator[Path]:
    """The folder beside `out` in which it grows; gone when anything fails, and in `out`'s place when nothing did.

    Whatever a killed export left is cleaned first. Raises Glm4Error if another export is at work on `out`, or something
    else lies where it would grow.
    """
    directory, ours = out.with_name(out.name + UNFINISHED), False
    try:
        _clean(out, directory)
        directory.mkdir(parents=True)
        ours = True
        (directory / _OWNER).write_text(str(os.getpid()))
        yield directory
        _take_place(directory, out)
    except (OSError, RuntimeError) as error:
        raise (_understood(error, directory) or error) from error
    finally:
        if ours:
            shutil.rmtree(directory, ignore_errors=True)


def _clean(out: Path, directory: Path) -> None:
    import psutil

    owner = _owner(directory)
    if owner is not None and psutil.pid_exists(owner):
        raise Glm4Error(f"Another export (process {owner}) is at work on {out}", "Wait for it, or choose another OUT.")
    old = out.with_name(out.name + _OLD)
    for leftover, mark in ((directory, _OWNER), (old, _REPLACED)):
        if os.path.lexists(leftover) and (leftover.is_symlink() or not (leftover / mark).is_file()):
            raise Glm4Error(f"{leftover} is in the way, and no export made it", "Move it, or choose another OUT.")
    if directory.exists():
        shutil.rmtree(directory)
    if not old.exists():
        return
    if out.exists():
        shutil.rmtree(old)
    else:  # killed while the new one took the old one's place
        (old / _REPLACED).unlink()
        old.rename(out)


def _owner(directory: Path) -> int | None:
    try:
        return int((directory / _OWNER).read_text())
    except (OSError, ValueError):
        return None


def finish(directory: Path) -> None:
    """The last thing before the manifest is written: what is not the model's goes."""
    (directory / _OWNER).unlink()


def _take_place(directory: Path, out: Path) -> None:
    if not (directory / MANIFEST).is_file():
        raise RuntimeError(f"{directory} has no manifest")
    if not out.exists():
        directory.rename(out)
        return
    old = out.with_name(out.name + _OLD)
    (out / _REPLACED).touch()
    out.rename(old)
    directory.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _understood(error: Exception, directory: Path) -> Glm4Error | None:
    """What lies behind a library's error, where that is the disk, its rights or the memory."""
    number, text = getattr(error, "errno", None), str(error)
    if number == errno.ENOSPC or "iostream error" in text or "No space left" in text:
        return Glm4Error(f"The disk of {directory.parent} is full", "Free some space and run the export again.")
    if number in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
        return Glm4Error(f"{directory.parent} can't be written to", "Choose another OUT, or see to its permissions.")
    if number == errno.ENOMEM or any(sign in text for sign in ("bad_alloc", "not enough memory", "allocate memory")):
        return Glm4Error("There is not enough memory for this export", "Close other programs, or use another machine.")
    return None
