"""What an export tells of itself while it works, and how it is interrupted."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

_LOOK_UP = 0.2
"""Seconds between two looks at the clock, and at Ctrl-C, while a library works."""


class Progress:
    """Told of each stage and of what is done of it. This one keeps quiet."""

    def stage(self, name: str, total: int = 0, unit: str = "B", shown: bool = False) -> None:
        """A stage begins; `total` bytes or other units lie ahead, 0 if that is not known.

        `shown`: a library shows its progress itself.
        """

    def advance(self, size: int) -> None:
        """`size` more of the stage's units are done."""

    def note(self, text: str) -> None:
        """Something that whoever exports should know, and that is no error."""

    def tick(self) -> None:
        """Some time has passed."""

    def done(self) -> None:
        """The last stage has ended, well or not."""


class TerminalProgress(Progress):
    """A line on stderr for each stage: what, how much and how long is left, then how long it took."""

    def __init__(self) -> None:
        self._name, self._started = "", 0.0
        self._total = self._done = 0
        self._unit, self._live = "B", False

    def stage(self, name: str, total: int = 0, unit: str = "B", shown: bool = False) -> None:
        self.done()
        self._name, self._total, self._unit, self._done = name, total, unit, 0
        self._started = time.perf_counter()
        self._live = sys.stderr.isatty() and not shown
        self._write(f"{name} …{os.linesep if shown else ' '}")

    def advance(self, size: int) -> None:
        self._done += size

    def note(self, text: str) -> None:
        self.done()
        self._write(f"note: {text}\n")

    def tick(self) -> None:
        if not (self._live and self._name):
            return
        passed, said = time.perf_counter() - self._started, ""
        if self._total and self._done:
            share = min(1.0, self._done / self._total)
            said = f"{self._amount()}, {passed * (1 - share) / share:.0f} s left"
        elif passed >= 1:
            said = f"{passed:.0f} s"
        self._write(f"\r\033[K{self._name} … {said} ")

    def done(self) -> None:
        if self._name:
            start = f"\r\033[K{self._name} … " if self._live else ""
            self._write(f"{start}{time.perf_counter() - self._started:.1f} s\n")
            self._name = ""

    def _amount(self) -> str:
        if self._unit == "B":
            return f"{self._done / 1e9:.1f} of {self._total / 1e9:.1f} GB"
        return f"{self._done} of {self._total} {self._unit}"

    @staticmethod
    def _write(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def interruptibly(work: Callable[[], None], progress: Progress) -> None:
    """Do the work in a thread, so that Ctrl-C is heard in the middle of a library's long call.

    The thread of an interrupted export ends with the process, or with its next call of Python's.
    """
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_LOOK_UP)
        progress.tick()
    if failed:
        raise failed[0]


@contextmanager
def making(out: Path) -> Iterator[TerminalProgress]:
    """The progress of a command that makes a model directory, which SIGTERM ends like Ctrl-C; at last, what next."""
    signal.signal(signal.SIGTERM, _terminated)
    progress = TerminalProgress()
    try:
        yield progress
    finally:
        progress.done()
    print(f"{out} is ready. Talk to it: glm4-intel chat {out}", file=sys.stderr)


def _terminated(signum: int, frame: FrameType | None) -> None:
    """With a status of its own; nothing half done is left."""
    raise KeyboardInterrupt(128 + signum)
