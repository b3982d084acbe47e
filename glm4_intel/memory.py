"""How much memory this process may still take: the machine's, its container's, and its own limit."""

from pathlib import Path

_CGROUPS = (  # version 2, version 1: (limit, use)
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def available_memory() -> int:
    """Bytes that can be taken without swapping, by the machine and by the container around this process."""
    import psutil

    return min([int(psutil.virtual_memory().available), *_container_rooms()])


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
    for limit_file, use_file in _CGROUPS:
        limit, use = _read(limit_file), _read(use_file)
        if limit is not None and use is not None:
            rooms.append(max(0, limit - use + _reclaimable(Path(limit_file).parent)))
    return rooms


def _reclaimable(folder: Path) -> int:
    """The part of a container's use that is cached files, which give way."""
    try:
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(statistics.get("inactive_file", 0)) + int(statistics.get("active_file", 0))


def _read(path: str) -> int | None:
    """The number in a control file; None where there is none, or it says "max"."""
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return None
