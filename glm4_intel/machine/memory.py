"""How much memory this process may still take: the machine's, its container's, and its own limit."""

from pathlib import Path

from .control_groups import folders, number

_FILES = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
"""(limit, use) in control groups of version 2 and version 1."""


def available_memory() -> int:
    """Bytes that can be taken without swapping, by the machine and by the containers around this process."""
    import psutil

    return min([int(psutil.virtual_memory().available), *_container_rooms()])


def total_memory() -> int:
    """Bytes of the machine, or of the smallest container around this process."""
    import psutil

    limits = [limit for folder in folders("memory") for name, _ in _FILES if (limit := number(folder / name))]
    return min([int(psutil.virtual_memory().total), *limits])


def own_memory() -> int:
    """Bytes that this process holds for itself; mapped files are left aside."""
    import psutil

    info = psutil.Process().memory_info()
    return int(getattr(info, "private", 0) or info.rss - getattr(info, "shared", 0))


def address_space() -> int | None:
    """Bytes of addresses left to this process under `ulimit -v`, None where there is no limit."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    import psutil

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else max(0, limit - int(psutil.Process().memory_info().vms))


def _container_rooms() -> list[int]:
    rooms = []
    for folder in folders("memory"):
        for limit_file, use_file in _FILES:
            limit, use = number(folder / limit_file), number(folder / use_file)
            if limit is not None and use is not None:
                rooms.append(max(0, limit - use + _reclaimable(folder)))
    return rooms


def _reclaimable(folder: Path) -> int:
    """The part of a container's use that is cached files, which give way."""
    try:
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(statistics.get("inactive_file", 0)) + int(statistics.get("active_file", 0))
