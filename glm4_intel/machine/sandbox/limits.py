"""What the code may take, and the limits of POSIX systems that hold it to that."""

import contextlib
from dataclasses import dataclass

_MOST_OPEN_FILES = 64


@dataclass(frozen=True)
class Limits:
    """What the code may take."""

    seconds: float = 10.0
    memory: int = 1 << 30
    """Bytes of address space; where the system has no such limit (Windows), it is not held."""
    output: int = 16_000
    """Characters that the model is shown."""
    file: int = 16 << 20
    """Bytes of a file that it writes."""
    disk: int = 64 << 20
    """Bytes of all its files together."""
    files: int = 1000
    """Files and folders that it may have."""


def apply(limits: Limits) -> None:
    """Hold this process to the limits, for good. Raises OSError where the system does not have all of them."""
    try:
        import resource
    except ImportError as error:  # Windows
        raise OSError("no limits") from error
    wanted = {
        resource.RLIMIT_AS: limits.memory,
        resource.RLIMIT_FSIZE: limits.file,
        resource.RLIMIT_CPU: int(limits.seconds) + 1,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: _MOST_OPEN_FILES,
        resource.RLIMIT_NPROC: 0,
    }
    for kind, most in wanted.items():
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some of them
            hard = resource.getrlimit(kind)[1]
            allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (allowed, allowed))
    if any(not 0 <= resource.getrlimit(kind)[1] <= most for kind, most in wanted.items()):
        raise OSError("a limit could not be set")
