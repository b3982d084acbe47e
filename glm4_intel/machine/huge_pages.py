"""Weights in Linux's huge pages: decoding reads all of them for each token, and looks up fewer addresses on the way.

The engine allocates with malloc, which asks for pages of 4 KiB where the system's setting is "madvise" (Ubuntu's is).
MADV_COLLAPSE moves memory that is in use already: madvise(2), Linux 6.1 or later. Elsewhere nothing happens.
"""

import ctypes
import errno
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

Region = tuple[int, int]
"""The addresses of its first byte and of the byte after its last."""

_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25
_SIZE_FILE = Path("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")


def collapse_since(before: Iterable[Region], told: Callable[[float], None] = lambda share: None) -> int:
    """`collapse` what this process has taken since `before` was its `private_regions`."""
    return collapse(without(private_regions(), before), told)


def private_regions() -> list[Region]:
    """This process's own writable memory; nothing where the system can't tell."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return []
    fields = [line.split(maxsplit=5) for line in lines]  # range, rights, offset, device, inode, name
    own = [each[0] for each in fields if each[1].startswith("rw") and (len(each) == 5 or each[5] == "[heap]")]
    return [(int(start, 16), int(end, 16)) for start, end in (each.split("-") for each in own)]


def without(regions: Iterable[Region], others: Iterable[Region]) -> list[Region]:
    """What of the regions lies in none of the others, in order; neither may overlap its own kind."""
    taken, left, first = sorted(others), [], 0
    for start, end in sorted(regions):
        while first < len(taken) and taken[first][1] <= start:
            first += 1
        for index in range(first, len(taken)):
            if taken[index][0] >= end:
                break
            if start < taken[index][0]:
                left.append((start, taken[index][0]))
            start = taken[index][1]
        if start < end:
            left.append((start, end))
    return left


def collapse(regions: Iterable[Region], told: Callable[[float], None] = lambda share: None) -> int:
    """Move the regions into huge pages and return the bytes asked for; `told` hears the share that is done.

    Best effort: what the kernel refuses stays in small pages, and the first lack of memory (ENOMEM: no huge page is
    free; EBUSY: the control group may not take one) ends it.
    """
    size = huge_page_size()
    if not size:
        return 0
    advise = ctypes.CDLL(None, use_errno=True).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    whole = [(-(-start // size) * size, end // size * size) for start, end in regions]
    whole = [(start, end) for start, end in whole if start < end]
    total = sum(end - start for start, end in whole)
    done = 0
    for start, end in whole:
        advise(start, end - start, _MADV_HUGEPAGE)
        if advise(start, end - start, _MADV_COLLAPSE) and ctypes.get_errno() in (errno.ENOMEM, errno.EBUSY):
            break
        done += end - start
        told(done / total)
    return done


def huge_page_size() -> int:
    """Bytes of a huge page; 0 where the system has none."""
    try:
        return int(_SIZE_FILE.read_text()) if sys.platform == "linux" else 0
    except (OSError, ValueError):
        return 0
