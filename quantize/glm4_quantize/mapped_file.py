"""Room on a disk for weights that may be larger than the memory."""

import errno
import mmap
import os
from pathlib import Path
from tempfile import TemporaryFile

_UNABLE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
"""What file systems say that can't reserve."""


def mapped_file(folder: Path, prefix: str, size: int) -> mmap.mmap:
    """`size` bytes, at least one, of a file in `folder` that has no name and goes with its mapping.

    Raises OSError where the disk has no room for them: written through a mapping, a full disk kills the process.
    """
    with TemporaryFile(dir=folder, prefix=prefix) as file:
        _reserve(file.fileno(), size)
        return mmap.mmap(file.fileno(), size)


def _reserve(file: int, size: int) -> None:
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, 0, size)
    except OSError as error:
        if error.errno not in _UNABLE:
            raise
    os.ftruncate(file, size)  # on Windows it reserves, too
