"""What a command's MODEL stands for: a path, a name, nano, or a checkpoint that is exported first if one agrees."""

import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import model_directory
from ..errors import Glm4Error
from .model_names import NANO, find, is_checkpoint, is_hub_id, is_model, name_of, nano_folder, place_for

MODEL_HELP = "a model directory, a name (see: glm4-intel list), nano, or a checkpoint (folder or OWNER/NAME)"
_STDERR = 2
"""Its file descriptor: standard output is the reply's alone."""


def model_path(text: str, device: str = "AUTO") -> Path:
    """The model directory that a command line names; nano and what is not exported yet are exported.

    A checkpoint, on disk or on the hub, is exported into the models folder, for `device`, after whoever sits at the
    terminal has agreed. Raises Glm4Error with the command that exports it where nobody sits there.
    """
    found, recipe = find(text), "npu" if device.upper() == "NPU" else "cpu"  # which runs on a GPU alike
    if found == nano_folder():
        return nano(recipe)
    if found is not None:
        return _exported(str(found.absolute()), recipe) if is_checkpoint(found) else found
    return _exported(text, recipe) if is_hub_id(text) else Path(text)


def nano(recipe: str = "cpu") -> Path:
    """The nano model's int4 directory, exported if it is not there yet."""
    folder = nano_folder(recipe)
    if not _whole(folder):
        _run("export", NANO, str(folder), "--recipe", recipe, "--overwrite")
    return folder


def asked(question: str) -> bool:
    """Whether whoever sits at the terminal says yes."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def at_a_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def _exported(source: str, recipe: str) -> Path:
    folder = place_for(source, recipe)
    if is_model(folder):
        return folder
    command = ["export", source, str(folder), *(["--recipe", recipe] if recipe != "cpu" else [])]
    shown = f"glm4-intel {_quoted(command)}"
    if not at_a_terminal():
        raise Glm4Error(f"There is no model directory {source}, and no export of a checkpoint of that name",
                        f"Export it first: {shown}")  # fmt: skip
    print(f"{source} has not been exported yet.", file=sys.stderr)
    _run(*command, "--dry-run")
    if not asked("Export it now?"):
        raise Glm4Error("Nothing was exported", f"To do it later: {shown}")
    _run(*command)
    print(f"From now on it is called {name_of(folder)}.", file=sys.stderr)
    return folder


def _run(*arguments: str) -> None:
    """Another command in a process of its own, which gives the memory and the libraries of an export back.

    Ctrl-C is the other process's to hear: it cleans up, and its status becomes this one's.
    """
    process = subprocess.Popen([sys.executable, "-m", "glm4_intel", *arguments], stdout=_STDERR)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        status = process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    if status:
        raise SystemExit(status)


def _quoted(command: Sequence[str]) -> str:
    return subprocess.list2cmdline(command) if sys.platform == "win32" else shlex.join(command)


def _whole(folder: Path) -> bool:
    """Whether an earlier command left a whole model directory."""
    try:
        return model_directory.read(folder).manifest is not None
    except Glm4Error:
        return False
