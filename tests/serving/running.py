"""`glm4-intel serve` as a process of its own, on loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(model: Path, *options: str, patience: float = 40) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """The server's address, once it is ready, and its process."""
    port = free_port()
    command = [sys.executable, "-m", "glm4_intel.cli", "serve", str(model), "--name", "nano", "--port", str(port)]
    process = subprocess.Popen([*command, "--no-warmup", *options], stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(address, patience)
        yield address, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def wait_until_ready(address: str, seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if httpx.get(f"{address}/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("the server never was ready")


def engine_of(process: "subprocess.Popen[bytes]") -> int:
    """The engine's process: the child that was spawned with a pipe."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for task in Path(f"/proc/{process.pid}/task").iterdir():
        children += (task / "children").read_text().split()
    lines = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    return next(child for child, line in lines.items() if b"spawn_main" in line)


def clients() -> dict[str, str]:
    """An environment in which the public clients are found: GLM4_CLIENTS is where pip installed them with --target."""
    return {**os.environ, "PYTHONPATH": os.environ["GLM4_CLIENTS"]}
