"""Linux's calls that Python has no function for, by their names in its manual pages."""

import ctypes
import os
import sys
from functools import lru_cache

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
SIGKILL = 9
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWNET = 0x08000000, 0x10000000, 0x40000000
_CAPABILITY_VERSION_3 = 0x20080522


@lru_cache(maxsize=1)
def libc() -> ctypes.CDLL:
    """Raises OSError where there is no Linux."""
    if sys.platform != "linux":
        raise OSError("no Linux")
    return ctypes.CDLL(None, use_errno=True)


def checked(result: int) -> int:
    """A call's result. Raises OSError for what it failed with."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def syscall(number: int, *arguments: object) -> int:
    """A call by its number. Raises OSError."""
    passed = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return checked(libc().syscall(ctypes.c_long(number), *passed))


def prctl(option: int, *arguments: object) -> int:
    """Raises OSError."""
    passed = [ctypes.c_ulong(each) if isinstance(each, int) else each for each in (*arguments, 0, 0, 0, 0)[:4]]
    return checked(libc().prctl(option, *passed))


def gain_no_privileges() -> None:
    """Die with the parent; no program gives more rights from here on, which Landlock and seccomp ask for."""
    prctl(PR_SET_PDEATHSIG, SIGKILL)
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def leave_network() -> None:
    """Into namespaces of our own, in which there is no network. Raises OSError where the system doesn't let us."""
    checked(libc().unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC))


def drop_capabilities() -> None:
    """Keep nothing of root's rights, for good (capset(2)). Raises OSError."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    checked(libc().capset(header, (ctypes.c_uint32 * 6)()))
