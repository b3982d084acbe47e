"""The real web server for a while, for the scripts that look at its page."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def web(model: Path, data: Path, port: int) -> Iterator[str]:
    """`glm4-intel web` with its conversations in `data`; the page's address, once it answers."""
    command = [sys.executable, "-m", "glm4_intel.cli", "web", str(model), "--port", str(port)]
    server = subprocess.Popen(command, env={**os.environ, "GLM4_DATA": str(data)}, stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/"
    try:
        while not _answers(address):
            if server.poll() is not None:
                raise SystemExit(server.returncode)
            time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(20)


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=2)
    except OSError:
        return False
    return True
