"""How many may wait: the engine takes what its KV cache holds to the end, and behind it a queue of a given length."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .engine import Engine
from .errors import Busy

_WEIGHT = 0.1
"""How much of the average a reply's time is."""
_LONGEST = 120


class Admission:
    """Counts the replies that are written or awaited, and refuses those that would wait behind too many."""

    def __init__(self, engine: Engine, most: int) -> None:
        self._engine, self._most = engine, most
        self.inside = 0
        self._seconds = 1.0
        """That a reply takes, on average."""

    @property
    def waiting(self) -> int:
        """Replies that are not being written yet."""
        return max(0, self.inside - self._engine.live)

    @contextmanager
    def places(self, count: int) -> Iterator[None]:
        """Places for so many replies. Raises Busy where the queue is full."""
        if self.waiting + count > self._most:
            raise Busy(
                f"{self.waiting} replies are waiting, and {self._most} may", "Ask again later.",
                retry_after=self._until_free(),
            )  # fmt: skip
        self.inside += count
        started = time.monotonic()
        try:
            yield
        finally:
            self.inside -= count
            self._seconds += _WEIGHT * (time.monotonic() - started - self._seconds)

    def _until_free(self) -> float:
        """Seconds until a place is free, by what replies took so far."""
        return min(_LONGEST, math.ceil(self._seconds / max(1, self._engine.live)))
