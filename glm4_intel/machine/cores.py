"""How many cores this process may use."""

import os
from pathlib import Path

from .control_groups import folders, number


def usable_cores() -> int:
    """The cores that this process may keep busy, which in a container are fewer than the machine's."""
    quota = core_quota()
    return scheduled_cores() if quota is None else max(1, min(scheduled_cores(), int(quota)))


def scheduled_cores() -> int:
    """The logical processors that the system schedules this process on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def core_quota() -> float | None:
    """The processor time, in cores, that the control groups around this process grant it; None for no limit."""
    quotas = [quota for folder in folders("cpu") if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def _quota(folder: Path) -> float | None:
    """The limit of one group: version 2's cpu.max, or version 1's pair of files."""
    try:
        limit, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        micros, every = number(folder / "cpu.cfs_quota_us"), number(folder / "cpu.cfs_period_us")
        return micros / every if micros and every and micros > 0 else None
