"""Linux control groups: the limits that a container or a service manager sets around this process."""

from collections.abc import Iterator
from pathlib import Path

MOUNTED = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def folders(controller: str) -> Iterator[Path]:
    """The folders of this process's group and of those around it, innermost first, of version 1 and version 2.

    `controller` is "cpu" or "memory". Elsewhere than on Linux there are none. Format: man 7 cgroups.
    """
    try:
        lines = MEMBERSHIP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = MOUNTED / controller if controllers else MOUNTED
        names = [name for name in path.split("/") if name]
        for depth in range(len(names), -1, -1):
            folder = base.joinpath(*names[:depth])
            if folder.is_dir():
                yield folder


def number(file: Path) -> int | None:
    """The number in a control file; None where there is none, or it says "max"."""
    try:
        return int(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
