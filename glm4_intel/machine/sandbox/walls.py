"""Puts up what walls the system has around the process that calls it, and says which they are."""

import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import kernel, landlock, seccomp
from .limits import Limits, apply

_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo", "/etc/localtime",
           "/etc/ld.so.cache", "/dev/null", "/dev/zero", "/dev/urandom", "/sys/devices/system/cpu")  # fmt: skip
"""What Python and numpy read besides the installation: libraries, time zones, the number of processors."""


@dataclass(frozen=True)
class Walls:
    """What keeps the code from what is not its own, by name; empty where nothing does."""

    files: str = ""
    network: str = ""
    processes: str = ""
    memory: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """What lies open, in words."""
        return tuple(said for name, said in _WORDS.items() if not getattr(self, name))

    def __str__(self) -> str:
        shut = [f"{said} ({getattr(self, name)})" for name, said in _WORDS.items() if getattr(self, name)]
        lines = [f"the system keeps it from {', '.join(shut)}"] if shut else []
        if self.missing:
            lines.append(
                f"nothing but Python's own checks, which can be got around, keeps it from {', '.join(self.missing)}: "
                "leave it off, or run all of this in a container or a virtual machine"
            )
        return "; ".join(lines)


_WORDS = {
    "files": "files outside of its folder",
    "network": "the network",
    "processes": "other processes",
    "memory": "more memory and disk than its share",
}


def raise_walls(folder: Path, limits: Limits) -> Walls:
    """Close off everything but `folder` and Python itself, for good. What the system lacks is left out."""
    _tried(kernel.gain_no_privileges)
    namespace = _tried(kernel.leave_network)
    _tried(kernel.drop_capabilities)
    held = _tried(lambda: apply(limits))
    files = _tried(lambda: landlock.restrict(_readable(), [folder]))
    calls = _tried(seccomp.restrict)  # the last, since it refuses the calls that the others need
    return Walls(
        files="Landlock" if files else "",
        network=" and ".join(["seccomp"] * calls + ["a namespace"] * namespace),
        processes="seccomp" if calls else "",
        memory="limits" if held else "",
    )


def _tried(wall: Callable[[], object]) -> bool:
    try:
        wall()
    except OSError:  # the kernel has no such wall, or this user may not put it up
        return False
    return True


def _readable() -> Iterator[Path]:
    """The Python installation's own directories, and what of the system it can't do without."""
    yield from map(Path, _SYSTEM)
    yield from (Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    for prefix in (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix):
        yield Path(prefix, "lib")
        yield Path(prefix, "pyvenv.cfg")
    yield from (Path(entry) for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages"))
