"""GLM-4's built-in `python`: the model's code in a process of its own, behind the walls that the system has.

Off unless it is asked for. The process has an empty folder, limits on time, memory, files and output, and, on Linux,
what the kernel has of walls (`glm4_intel.machine.sandbox`): it reads Python's own files and its folder's, reaches no
network, starts no process or thread and touches no other one. `walls()` says what there is. Elsewhere an audit hook
alone refuses sockets, programs and native code: that stops accidents and the ordinary tricks of a model, not an
attacker.
"""

import contextlib
import functools
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

from ..errors import Glm4Error
from ..machine.sandbox.folder import own_folder, usage
from ..machine.sandbox.limits import Limits
from ..machine.sandbox.walls import Walls
from .callables import Tool

__all__ = ["Limits", "Walls", "python_tool", "run_python", "walls"]

log = logging.getLogger(__name__)

_CHILD = """import sys
sys.path.insert(0, {root!r})
from glm4_intel.machine.sandbox.child import main
sys.path.remove({root!r})
main()"""
_LOOK = 0.05
"""Seconds between two looks at what the code has taken of the disk."""


def python_tool(limits: Limits = Limits()) -> Tool:  # noqa: B008  # frozen
    """The built-in tool `python`: what the code prints, and the value of its last line, is the observation."""
    return Tool("python", "", {}, functools.partial(run_python, limits=limits))


def run_python(code: str, limits: Limits = Limits()) -> str:  # noqa: B008  # frozen
    """Run code and return what it wrote, its error included.

    Raises TimeoutError if it takes too long, and OSError if it takes too much of the disk.
    """
    said = _run(code, limits, walls())
    if len(said) > limits.output:
        return f"{said[: limits.output]}\n… {len(said) - limits.output:,} more characters"
    return said


@functools.lru_cache(maxsize=1)
def walls() -> Walls:
    """The walls that this system puts around the code: found out by putting them up in a process that ends then."""
    said = _run("", Limits(), None)
    try:
        found = Walls(**json.loads(said))
    except (ValueError, TypeError) as error:
        raise Glm4Error(f"Python can't be started for code: {said.strip() or 'it said nothing'}") from error
    if found.missing:
        log.warning("the python tool: %s", found)
    return found


def _run(code: str, limits: Limits, expected: Walls | None) -> str:
    with own_folder() as folder:
        process = _started(folder, limits, expected)
        try:
            return _watched(process, _Talk(process, code, limits), folder, limits)
        finally:
            _kill(process)


def _started(folder: Path, limits: Limits, expected: Walls | None) -> "subprocess.Popen[bytes]":
    asked = {"limits": asdict(limits), "walls": asdict(expected) if expected else None}
    root = str(Path(__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-I", "-B", "-X", "utf8", "-c", _CHILD.format(root=root), json.dumps(asked)],
        cwd=folder,
        env=_environment(folder),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of ours: it holds tokens. One thread computes, since the code may start none."""
    kept = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}  # Windows starts nothing without
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    own = {"HOME": str(folder), "TMPDIR": str(folder), "TEMP": str(folder), "PATH": os.defpath, "LANG": "C.UTF-8"}
    return kept | threads | own


class _Talk(threading.Thread):
    """Gives the process its code, and reads what it writes up to four times what will be shown."""

    def __init__(self, process: "subprocess.Popen[bytes]", code: str, limits: Limits) -> None:
        super().__init__(daemon=True)
        self._process, self._code, self._most = process, code.encode("utf-8", "replace"), 4 * limits.output
        self.said = b""

    def run(self) -> None:
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(OSError, ValueError):  # it ended before it had read everything
            self._process.stdin.write(self._code)
            self._process.stdin.close()
        with contextlib.suppress(OSError, ValueError):
            self.said = self._process.stdout.read(self._most + 1)

    @property
    def full(self) -> bool:
        return len(self.said) > self._most


def _watched(process: "subprocess.Popen[bytes]", talk: _Talk, folder: Path, limits: Limits) -> str:
    """What the process says up to its end, while it keeps to its limits."""
    deadline = time.monotonic() + limits.seconds
    talk.start()
    while _running(process, talk):
        _require_room(folder, process.pid, limits)
        if time.monotonic() > deadline:
            raise TimeoutError(f"the code was stopped after {limits.seconds:g} seconds")
    ended = "" if talk.full else _ending(process.returncode)
    return talk.said.decode("utf-8", "replace") + ended


def _running(process: "subprocess.Popen[bytes]", talk: _Talk) -> bool:
    """Wait for a moment; whether it still runs and has not said enough."""
    talk.join(_LOOK)
    if not talk.is_alive() and not talk.full:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK)
    return talk.is_alive() or not (talk.full or process.poll() is not None)


def _require_room(folder: Path, process: int, limits: Limits) -> None:
    try:
        taken, files = usage(folder, process, limits.files)
    except OSError as error:
        raise OSError("the code was stopped: its folders can't be looked into") from error
    if taken > limits.disk:
        raise OSError(f"the code was stopped: its files have more than {limits.disk >> 20:,} MiB")
    if files > limits.files:
        raise OSError(f"the code was stopped: it has more than {limits.files:,} files")


def _ending(status: int) -> str:
    """What there is to say of a process that did not end by itself."""
    if status >= 0:
        return ""
    with contextlib.suppress(ValueError):
        return f"\nthe code's process was ended by {signal.Signals(-status).name}\n"
    return f"\nthe code's process was ended by signal {-status}\n"


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End the process and all that it started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    assert process.stdin and process.stdout
    with contextlib.suppress(OSError):
        process.stdin.close()
    process.stdout.close()
