"""How fast this machine's memory is read, which bounds how fast a model writes."""

import threading
import time

import numpy as np

from .cores import usable_cores
from .memory import available_memory

_MOST = 256 << 20
"""Bytes that each thread reads: far more than any cache holds."""
_SHARE = 4
"""One part in so many of the free memory is taken at most."""


def read_bandwidth() -> float:
    """Bytes a second that all usable cores together read from memory: the best of four sums over large arrays."""
    cores = usable_cores()
    each = min(_MOST, available_memory() // (_SHARE * cores))
    arrays = [np.ones(each // 8, dtype=np.uint64) for _ in range(cores)]
    best = 0.0
    for _ in range(4):
        threads = [threading.Thread(target=array.sum) for array in arrays]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        best = max(best, cores * each / (time.perf_counter() - started))
    return best
