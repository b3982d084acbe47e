"""NUMA nodes: processors with memory of their own, which a process keeps to so as not to wait for the others'."""

import os
from pathlib import Path


def nodes(root: Path = Path("/")) -> list[set[int]]:
    """The processors of each node that this process may use; one node where the system tells of none (Linux)."""
    files = sorted((root / "sys/devices/system/node").glob("node[0-9]*/cpulist"))
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    found = [processors(file.read_text(encoding="ascii")) & usable for file in files]
    return [node for node in found if node] or [usable]


def processors(told: str) -> set[int]:
    """Those that a list such as 0-3,8 names."""
    spans = [span.partition("-") for span in told.strip().split(",") if span]
    return {number for first, _, last in spans for number in range(int(first), int(last or first) + 1)}


def keep_to(place: int) -> None:
    """Let this process, and those that it begins, run on one node's processors alone; nodes are counted in a circle.

    Memory comes from the node whose processor touches it first, so that a model loaded afterwards lies there too.
    """
    found = nodes()
    if len(found) > 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, found[place % len(found)])
