"""Bars in a terminal: one for a command, and no trace of it when the command has ended."""

import fcntl
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

pyte = pytest.importorskip("pyte", reason="pip install -r requirements-dev.txt")
termios = pytest.importorskip("termios", reason="POSIX pseudo-terminals")
COLUMNS = 60


def watched(*arguments: str) -> tuple[list[str], int]:
    """The lines that a command leaves on a terminal's screen, its standard output aside, and how many had a bar."""
    leader, follower = os.openpty()
    fcntl.ioctl(leader, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    command = [sys.executable, "-m", "glm4_intel", *arguments]
    process = subprocess.Popen(command, stdin=follower, stderr=follower, stdout=subprocess.DEVNULL)
    os.close(follower)
    screen, barred = pyte.Screen(COLUMNS, 24), 0
    stream = pyte.ByteStream(screen)
    while True:
        try:
            block = os.read(leader, 4096)
        except OSError:  # the command has ended
            break
        stream.feed(block)
        barred = max(barred, sum("█" in line or "··" in line for line in screen.display))
    assert process.wait(60) == 0
    return [line.rstrip() for line in screen.display if line.strip()], barred


def test_an_export_has_one_bar(tmp_path: Path) -> None:
    left, bars = watched("export", "nano", str(tmp_path / "out"))
    said = "".join(left)
    assert bars == 1 and said.startswith(str(tmp_path)[:COLUMNS]) and "is ready, after" in said
    assert "█" not in said and "…" not in said and "saving" not in said


def test_a_bench_has_one_bar_that_leaves_nothing(nano: Path) -> None:
    others = ("--compare-with", "plain", "--prompt-lengths", "8", "--new-tokens", "2", "--runs", "1")
    assert watched("bench", str(nano), *others) == ([], 1)


def test_a_loaded_model_leaves_a_line(nano: Path) -> None:
    left, bars = watched("chat", str(nano), "5 + 6")
    assert bars <= 1 and "on CPU" in "".join(left) and "loading" not in "".join(left) and "█" not in "".join(left)
