"""What making a model directory takes, and whether this machine has it."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from glm4_intel.errors import Glm4Error
from glm4_intel.machine.memory import address_space, available_memory


@dataclass(frozen=True)
class Estimate:
    """Bytes of the model directory, of anonymous memory at its peak, and of files and libraries that are mapped."""

    output: int
    memory: int
    mapped: int
    seconds: float | None = None
    """From the first weight on, on two cores and a disk at its best; None where it can't be known."""
    scratch: int = 0
    """Bytes of files that lie in the model directory while it is made."""


@dataclass(frozen=True)
class Writing:
    """Bytes that will be written somewhere."""

    what: str
    place: Path
    size: int

    @property
    def folder(self) -> Path:
        """The folder that exists already."""
        place = self.place.absolute()
        return next(each for each in (place, *place.parents) if each.is_dir())


_HINT = "--ignore-limits tries all the same."


def require_room(needed: Estimate, writings: Iterable[Writing]) -> None:
    """Refuse what these disks or this memory can't hold, with the numbers."""
    by_disk: dict[int, list[Writing]] = {}
    for writing in writings:
        by_disk.setdefault(writing.folder.stat().st_dev, []).append(writing)
    for together in by_disk.values():
        _require_disk(together)
    _require_memory(needed)


def _require_disk(together: list[Writing]) -> None:
    """Room for what goes to one disk."""
    wanted, folder = sum(writing.size for writing in together), together[0].folder
    free = shutil.disk_usage(folder).free
    if free < wanted:
        what = " and ".join(writing.what for writing in together if writing.size)
        raise Glm4Error(
            f"{what[0].upper()}{what[1:]} needs about {gigabytes(wanted)}, and {folder} has {gigabytes(free)} free",
            f"Free some space, or choose a folder on another disk. {_HINT}",
        )


def _require_memory(needed: Estimate) -> None:
    hint = _HINT
    memory, addresses = available_memory(), address_space()
    if memory < needed.memory:
        raise Glm4Error(
            f"This export needs about {gigabytes(needed.memory)} of memory, and {gigabytes(memory)} are available",
            f"Close other programs, or choose a smaller recipe. {hint}",
        )
    if addresses is not None and addresses < needed.memory + needed.mapped:
        total = needed.memory + needed.mapped
        raise Glm4Error(
            f"This export needs about {gigabytes(total)} of address space, and ulimit -v leaves {gigabytes(addresses)}",
            f"Raise the limit. {hint}",
        )


def gigabytes(size: int) -> str:
    """A size for people."""
    return f"{size / 1e9:.1f} GB"
