"""Weights in huge pages: on Linux alone, and for nobody else's memory."""

import ctypes
import mmap
import re
import subprocess
import sys
from pathlib import Path

import pytest

from glm4_intel.machine import huge_pages

MiB = 1 << 20
NO_HUGE_PAGES = 77
linux = pytest.mark.skipif(not huge_pages.huge_page_size(), reason="needs Linux's transparent huge pages")


def in_huge_pages(address: int) -> int:
    """KiB of the region at an address that are in huge pages."""
    for block in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text()):
        start, end = (int(each, 16) for each in block.split(maxsplit=1)[0].split("-"))
        if start <= address < end:
            return int(re.search(r"AnonHugePages: +(\d+)", block)[1])
    return 0


def written(size: int) -> tuple[mmap.mmap, int]:
    """Private memory that is in use, in small pages, and the first address of a huge page in it."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    memory.write(b"7" * size)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    return memory, -(-address // (2 * MiB)) * 2 * MiB


def kernel_moves_pages() -> bool:
    """Whether it does so for 16 MiB of anybody's, right now: without our code, since that is what is tested."""
    memory, address = written(16 * MiB)
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    advise(address, 14 * MiB, mmap.MADV_HUGEPAGE)
    return advise(address, 14 * MiB, 25) == 0 and in_huge_pages(address) > 0 and memory is not None


@linux
def test_what_was_taken_since_moves_and_its_bytes_stay() -> None:
    """In a process of its own: here another test's threads may give back memory that is then taken again."""
    program = "import test_huge_pages; test_huge_pages.moves_what_was_taken_since()"
    done = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parent, capture_output=True, text=True)
    if done.returncode == NO_HUGE_PAGES:
        pytest.skip("the kernel has no huge pages to give now, or no MADV_COLLAPSE (Linux 6.1)")
    assert done.returncode == 0, done.stderr


def moves_what_was_taken_since() -> None:
    earlier, earlier_address = written(16 * MiB)
    before = huge_pages.private_regions()
    later, later_address = written(16 * MiB)
    heard: list[float] = []
    moved = huge_pages.collapse_since(before, heard.append)
    if not kernel_moves_pages() or not moved or heard[-1] < 1:
        sys.exit(NO_HUGE_PAGES)
    assert in_huge_pages(later_address) >= 8 << 10
    assert in_huge_pages(earlier_address) == 0
    assert later[:] == earlier[:] == b"7" * (16 * MiB)
    assert heard == sorted(heard) and heard[-1] == 1


def test_regions_without_others() -> None:
    assert huge_pages.without([(0, 10), (20, 30)], [(2, 4), (8, 22), (28, 40)]) == [(0, 2), (4, 8), (22, 28)]
    assert huge_pages.without([(0, 10)], []) == [(0, 10)]
    assert huge_pages.without([(5, 6)], [(0, 10)]) == []


@pytest.mark.timeout(10)
def test_regions_by_the_ten_thousand() -> None:
    """A process that has loaded several models has that many; comparing each with each took minutes."""
    regions = [(start, start + 3) for start in range(0, 400_000, 4)]
    assert huge_pages.without(regions, [(start, start + 1) for start, _ in regions]) == [
        (start + 1, end) for start, end in regions
    ]


def test_nothing_happens_where_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huge_pages, "_SIZE_FILE", Path("/nowhere"))
    assert huge_pages.collapse([(0, 1 << 30)]) == 0


@linux
def test_loading_moves_the_weights_unless_it_is_told_not_to(nano: Path) -> None:
    """In processes of their own, since what is measured is the whole process's."""
    assert kib_after_loading(nano, True) > kib_after_loading(nano, False)


def kib_after_loading(nano: Path, wanted: bool) -> int:
    program = (
        "import re, sys; from pathlib import Path; from glm4_intel import load;"
        f"glm = load(sys.argv[1], huge_pages={wanted});"
        "print(re.search(r'AnonHugePages: +(\\d+)', Path('/proc/self/smaps_rollup').read_text())[1])"
    )
    done = subprocess.run([sys.executable, "-c", program, nano], capture_output=True, text=True, check=True)
    return int(done.stdout)
