"""The real servers for a while, for the scripts that talk to them."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


@contextmanager
def web(model: Path, data: Path, port: int) -> Iterator[str]:
    """`glm4-intel web` with its conversations in `data`; the page's address, once it answers."""
    command = [sys.executable, "-m", "glm4_intel.cli", "web", str(model), "--port", str(port)]
    environment = {**os.environ, "GLM4_DATA": str(data)}
    address = f"http://127.0.0.1:{port}/"
    with running(command, address, environment):
        yield address


@contextmanager
def api(model: Path, *options: str) -> "Iterator[tuple[str, subprocess.Popen[bytes]]]":
    """`glm4-intel serve` with its model named nano; the address, once the model is loaded, and the process."""
    port = free_port()
    command = [sys.executable, "-m", "glm4_intel.cli", "serve", str(model), "--name", "nano", "--port", str(port)]
    address = f"http://127.0.0.1:{port}"
    with running([*command, "--no-warmup", *options], f"{address}/ready") as server:
        yield address, server


@contextmanager
def running(
    command: list[str], ready: str, environment: dict[str, str] | None = None
) -> "Iterator[subprocess.Popen[bytes]]":
    """A server's process, once an address of it answers; its own words go nowhere."""
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not answers(ready):
            if server.poll() is not None:
                raise SystemExit(server.returncode)
            time.sleep(0.2)
        yield server
    finally:
        server.terminate()
        server.wait(90)


def answers(address: str) -> bool:
    """Whether there is an answer at an address, and no error."""
    try:
        urllib.request.urlopen(address, timeout=2)
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def engine_of(server: int) -> psutil.Process:
    """The process that a server's engine is in: its child that was spawned with a pipe."""
    children = psutil.Process(server).children()
    return next(child for child in children if any("spawn_main" in word for word in child.cmdline()))
