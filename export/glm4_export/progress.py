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

from glm4_intel.commands.model_names import name_of
from glm4_intel.commands.status_line import StatusLine

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


_ENDS = {  # how a stage's name begins: what is done of the whole when it ends, as the 9B's time was shared out
    "reading": 0.14, "merging": 0.145, "checking": 0.15, "running": 0.16, "converting to": 0.28, "compressing": 0.68,
    "quantizing": 0.9, "saving": 0.9, "converting the tokenizer": 0.91, "comparing": 0.92,
    "taking": 0.99, "writing": 1.0,
}  # fmt: skip
"""benchmarks/BENCHMARKS.md, "Exporting the 9B". A stage that is not here, such as a download, is beside the bar."""


class TerminalProgress(Progress):
    """One bar in a terminal; in a log file a line for each stage, which says how long it took."""

    def __init__(self) -> None:
        self._line, self._name, self._started = StatusLine(), "", 0.0
        self._total = self._done = 0
        self._unit, self._shown, self._begin, self._end = "B", False, 0.0, 0.0

    def stage(self, name: str, total: int = 0, unit: str = "B", shown: bool = False) -> None:
        self.done()
        self._name, self._total, self._unit, self._done, self._shown = name, total, unit, 0, shown
        self._begin = self._end
        self._end = next((end for start, end in _ENDS.items() if name.startswith(start)), self._begin)
        self._started = time.perf_counter()
        if shown or not self._line.live:
            self._write(f"{name} …{os.linesep if shown else ' '}")
        self.tick()

    def advance(self, size: int) -> None:
        self._done += size

    def note(self, text: str) -> None:
        self.done()
        self._write(f"note: {text}\n")

    def tick(self) -> None:
        if self._name and not self._shown:
            done = min(1.0, self._done / self._total) if self._total else 0.0
            share = self._begin + done * (self._end - self._begin)
            self._line.show(f"{self._name}{self._told(done)}", share)

    def done(self) -> None:
        self._line.clear()
        if self._name and not self._line.live:
            self._write(f"{time.perf_counter() - self._started:.1f} s\n")
        self._name = ""

    def _told(self, done: float) -> str:
        """What is done of the stage, and how long the rest takes; of a stage that can't tell, how long it has taken."""
        passed = time.perf_counter() - self._started
        if done:
            return f": {self._amount()}, {passed * (1 - done) / done:.0f} s left"
        return f", {passed:.0f} s" if passed >= 1 else ""

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
    progress, started = TerminalProgress(), time.perf_counter()
    try:
        yield progress
    finally:
        progress.done()
    seconds = time.perf_counter() - started
    print(f"{out} is ready, after {seconds:.1f} s. Talk to it: glm4-intel chat {name_of(out)}", file=sys.stderr)


def _terminated(signum: int, frame: FrameType | None) -> None:
    """With a status of its own; nothing half done is left."""
    raise KeyboardInterrupt(128 + signum)
