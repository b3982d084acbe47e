"""Whose program a request from this machine comes from: others may be logged in to it, and reach its ports too."""

import ipaddress
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
"""Linux's connections (proc_pid_net(5)): own end, other end, state and user are columns 1, 2, 3 and 7."""
_ESTABLISHED = "01"


def is_ours(client: tuple[str, int]) -> bool:
    """Whether a connection's other end, its address and port, belongs to this process's user, or to root.

    Where the system does not tell, every neighbour is taken for that user.
    """
    if not _TABLES[0].exists() or not hasattr(os, "getuid"):
        return True
    ends = set(_ends(*client))
    return any(end in ends and user in (os.getuid(), 0) for end, user in _connections())


def _connections() -> Iterator[tuple[str, int]]:
    """The own end of each connection, and its user."""
    for table in _TABLES:
        try:
            rows = table.read_text(encoding="ascii").splitlines()[1:]
        except OSError:  # no IPv6
            continue
        yield from ((row[1], int(row[7])) for line in rows if (row := line.split())[3] == _ESTABLISHED)


def _ends(address: str, port: int) -> Iterator[str]:
    """How the tables write an end: words of four bytes, each turned around by most machines; IPv4's also in IPv6."""
    try:
        packed = ipaddress.ip_address(address).packed
    except ValueError:
        return
    for each in (packed, bytes(10) + b"\xff\xff" + packed):
        words = (
            each[at : at + 4][:: -1 if sys.byteorder == "little" else 1].hex().upper() for at in range(0, len(each), 4)
        )
        yield f"{''.join(words)}:{port:04X}"
