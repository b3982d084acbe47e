"""Who may log in: names with passwords, compared in constant time, and attempts that are slowed."""

import hashlib
import hmac
import ipaddress
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from glm4_intel import Glm4Error
from glm4_intel.serving.keys import read_secrets

_MOST_ADDRESSES = 10_000
_REST = 60.0


class Passwords:
    """Names and passwords; called with both, as Gradio asks."""

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self._digests = {name: _digest(password) for name, password in passwords.items()}

    def __call__(self, name: str, password: str) -> bool:
        """Takes as long for a name that there is not."""
        known = self._digests.get(name)
        same = hmac.compare_digest(_digest(password), known or _digest(""))
        return same and known is not None


def read_passwords(file: Path) -> dict[str, str]:
    """The `name:password` lines of a file; empty lines and those that begin with # are skipped.

    Raises Glm4Error where it can't be read, where other users of the machine can, and for a line of another form.
    """
    told = read_secrets(file, "--auth-file")
    passwords = dict(_named(file, number, line) for number, line in told)
    if not passwords:
        raise Glm4Error(f"--auth-file {file} names nobody", "Write lines of the form name:password.")
    return passwords


def _named(file: Path, number: int, line: str) -> tuple[str, str]:
    name, colon, password = line.partition(":")
    if not (name.strip() and colon and password):
        raise Glm4Error(f"--auth-file {file}, line {number}, is not of the form name:password")
    return name.strip(), password


@dataclass
class Pace:
    """So many attempts at once, then one an `interval` (seconds); the time of the next that is due."""

    interval: float
    burst: int
    due: float = float("-inf")

    def wait(self, now: float) -> float:
        """Seconds until one more attempt may be made."""
        return max(0.0, self.due - now - self.interval * (self.burst - 1))

    def take(self, now: float) -> None:
        """Count an attempt. However many there were, the pace is back soon after the last."""
        self.due = min(max(self.due, now), now + self.interval * 2 * self.burst) + self.interval


@dataclass
class LoginPace:
    """Slows attempts to log in, by address and over all.

    Nobody is locked out by others: the limit over all holds neither for an address that has logged in before nor for
    one's first attempt in a minute. An address that is refused may try again after seconds.
    """

    patience: float = 5.0
    """Seconds that an attempt is kept waiting; one that would wait longer is refused."""
    every: Pace = field(default_factory=lambda: Pace(interval=1.0, burst=20))
    _addresses: dict[str, Pace] = field(default_factory=dict)
    _known: set[str] = field(default_factory=set)

    def attempt(self, address: str, now: float | None = None) -> tuple[bool, float]:
        """Whether an attempt is let through, and the seconds to wait: before it, or before the next try."""
        now, key = time.monotonic() if now is None else now, network(address)
        own = self._addresses.setdefault(key, Pace(interval=5.0, burst=5))
        exempt = key in self._known or own.due + _REST <= now
        wait = own.wait(now) if exempt else max(own.wait(now), self.every.wait(now))
        if wait > self.patience:
            return False, wait
        own.take(now)
        self.every.take(now)
        self._forget(now)
        return True, wait

    def succeeded(self, address: str) -> None:
        """Somebody has logged in from an address."""
        self._known.add(network(address))
        self._addresses.pop(network(address), None)

    def _forget(self, now: float) -> None:
        """Addresses that have been quiet, and all where there are too many to keep."""
        if len(self._addresses) > _MOST_ADDRESSES:
            self._addresses = {key: pace for key, pace in self._addresses.items() if pace.due > now}


def network(address: str) -> str:
    """An address, or the network of 64 bits that one host has in IPv6."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else str(found)


def _digest(password: str) -> bytes:
    return hashlib.sha256(password.encode("utf-8", "surrogatepass")).digest()
