"""The pipe between the web process and an engine's process, read and written beside the web process's loop."""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from .wire import Frame, decode

log = logging.getLogger(__name__)


@dataclass
class Link:
    """One life of the engine's process, and the pipe to it."""

    process: Any
    pipe: Connection
    heard: Callable[[Frame], None]
    """Called in the web process's loop."""
    loop: asyncio.AbstractEventLoop
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    leaving: "queue.SimpleQueue[bytes | None]" = field(default_factory=queue.SimpleQueue)

    def start(self) -> None:
        for target in (self._read, self._write):  # a full pipe must not hold up the web process
            threading.Thread(target=target, daemon=True).start()

    def _read(self) -> None:
        try:
            while True:
                self._call(self._tell, list(decode(self.pipe.recv_bytes())))
        except (EOFError, OSError):
            self._call(self.gone.set)

    def _tell(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            self.heard(frame)

    def _write(self) -> None:
        while (message := self.leaving.get()) is not None:
            try:
                self.pipe.send_bytes(message)
            except OSError:  # its end is told by the reading side
                return

    def _call(self, function: Callable[..., None], *values: Any) -> None:
        try:
            self.loop.call_soon_threadsafe(function, *values)
        except RuntimeError:
            log.debug("the web process has ended before its engine")

    def kill(self) -> None:
        """End the process at once; it keeps nothing that would be lost."""
        self.process.kill()
        self.process.join()
        self.leaving.put(None)
