"""Nothing is told to anybody: each command in a process whose every look at the network is written down."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_WATCH = """
import os, socket
def told(name, whole):
    def watched(*args, **kwargs):
        with open(os.environ["NETWORK_LOG"], "a") as log:
            print(name, args, file=log)
        return whole(*args, **kwargs)
    return watched
socket.getaddrinfo = told("getaddrinfo", socket.getaddrinfo)
class Watched(socket.socket):
    def connect(self, address):
        told("connect", lambda *_: None)(address)
        return super().connect(address)
socket.socket = Watched
"""


def looked_up(tmp_path: Path, *command: str) -> tuple[str, str]:
    """What a Python command prints, and what it asked of the network, its child processes included."""
    (tmp_path / "sitecustomize.py").write_text(_WATCH)
    log = tmp_path / "network.log"
    log.touch()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "NETWORK_LOG": str(log), "HOME": str(tmp_path)}
    environment.pop("HF_HUB_OFFLINE", None)
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout, log.read_text()


@pytest.mark.parametrize("command", [["doctor"], ["verify"], ["chat", "--prompt", "5 + 6", "--temperature", "0"]])
def test_no_command_looks_at_the_network(nano: Path, tmp_path: Path, command: list[str]) -> None:
    printed, looks = looked_up(tmp_path, "-m", "glm4_intel", command[0], str(nano), *command[1:])
    assert printed and looks == ""
    assert not list(tmp_path.rglob("*openvino_telemetry*"))


def test_a_program_that_imports_the_library_first_sends_nothing(tmp_path: Path) -> None:
    code = "import sys, glm4_intel, openvino; print(sys.modules['openvino_telemetry'])"
    assert looked_up(tmp_path, "-c", code) == ("None\n", "")


def test_a_program_that_imported_telemetry_before_sends_nothing_either(tmp_path: Path) -> None:
    code = (
        "import openvino_telemetry.main as telemetry; from openvino_telemetry.backend import backend_ga4\n"
        "backend_ga4.GA4Backend.send = lambda self, message: print('SENT', message)\n"
        "import glm4_intel.loading, openvino"
    )
    assert looked_up(tmp_path, "-c", code) == ("", "")


def test_the_watch_sees_what_there_is(tmp_path: Path) -> None:
    code = "import socket; socket.getaddrinfo('localhost', 80); s = socket.socket(); s.connect_ex; s.close()"
    assert "localhost" in looked_up(tmp_path, "-c", code)[1]
