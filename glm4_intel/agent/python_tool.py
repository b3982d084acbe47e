"""GLM-4's built-in `python`: the model's code in a process of its own, without network, within limits.

Off unless it is asked for. The process gets an empty folder, limits on time, memory, files and output, a network
namespace of its own where the system allows one, and an audit hook that refuses sockets, programs and native code. That
stops accidents and the ordinary tricks of a model; it is not a wall against an attacker, for which a container or a
virtual machine is.
"""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from .callables import Tool

_GUARD = Path(__file__).with_name("python_guard.py")


@dataclass(frozen=True)
class Limits:
    """What the code may take."""

    seconds: float = 10.0
    memory: int = 1 << 30
    """Bytes of address space; where the system has no such limit (Windows), it is not held."""
    output: int = 16_000
    """Characters that the model is shown."""
    file: int = 16 << 20
    """Bytes of a file that it writes."""


def python_tool(limits: Limits = Limits()) -> Tool:  # noqa: B008  # frozen
    """The built-in tool `python`: what the code prints, and the value of its last line, is the observation."""
    return Tool("python", "", {}, functools.partial(run_python, limits=limits))


def run_python(code: str, limits: Limits = Limits()) -> str:  # noqa: B008  # frozen
    """Run code and return what it wrote, its error included. Raises TimeoutError if it takes too long."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-I", "-B", str(_GUARD), str(limits.memory), str(limits.file), str(limits.seconds)]
        process = subprocess.Popen(
            [*_without_network(), *command],
            cwd=folder,
            env={"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": folder, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            said = _communicate(process, code, limits)
        finally:
            _kill(process)
    if len(said) > limits.output:
        return f"{said[: limits.output]}\n… {len(said) - limits.output:,} more characters"
    return said


def _communicate(process: "subprocess.Popen[bytes]", code: str, limits: Limits) -> str:
    """What the process writes, up to its end or to four times what will be shown."""
    assert process.stdin and process.stdout
    timer = threading.Timer(limits.seconds, _kill, [process, True])
    timer.start()
    try:
        process.stdin.write(code.encode())
        process.stdin.close()
        said = process.stdout.read(4 * limits.output + 1)
        if len(said) <= 4 * limits.output:
            process.wait()
    except BrokenPipeError:
        said = b""
    finally:
        finished = timer.is_alive()
        timer.cancel()
    if not finished:
        raise TimeoutError(f"the code was stopped after {limits.seconds:g} seconds")
    return said.decode("utf-8", "replace")


def _kill(process: "subprocess.Popen[bytes]", still_read: bool = False) -> None:
    """End the process and all that it started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    if not still_read:
        process.wait()
        assert process.stdout
        process.stdout.close()


@functools.lru_cache(maxsize=1)
def _without_network() -> tuple[str, ...]:
    """The command that gives a process a network namespace of its own, if this system lets us."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return ()
    command = (unshare, "--net", "--map-root-user")
    return command if subprocess.run([*command, "true"], capture_output=True).returncode == 0 else ()
