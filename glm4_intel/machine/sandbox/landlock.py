"""Landlock: a process opens the files that it was given, and no others.

Linux has it from 5.13 on, and each version of its interface (ABI) can close off more; names are those of
https://docs.kernel.org/userspace-api/landlock.html and linux/landlock.h.
"""

import ctypes
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from .kernel import syscall

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION, _RULE_PATH_BENEATH = 1, 1
(_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE, _MAKE_CHAR, _MAKE_DIR, _MAKE_REG, _MAKE_SOCK,
 _MAKE_FIFO, _MAKE_BLOCK, _MAKE_SYM, _REFER, _TRUNCATE, _IOCTL_DEV) = (1 << bit for bit in range(16))  # fmt: skip
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""By ABI, how many of them the kernel knows; later ones know no more of these."""
_BIND_TCP, _CONNECT_TCP = 1, 2
_ABSTRACT_UNIX_SOCKET, _SIGNAL = 1, 2
_TCP_ABI, _SCOPE_ABI = 4, 6
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
READ = _READ_FILE | _READ_DIR
WRITE = READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE


class _RulesetAttr(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("handled_access_fs", "handled_access_net", "scoped")]


class _PathBeneathAttr(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32)]


def abi() -> int:
    """The version of Landlock's interface, 0 where the kernel has none or it is switched off."""
    try:
        return syscall(_CREATE_RULESET, 0, 0, _CREATE_RULESET_VERSION)
    except OSError:
        return 0


def restrict(readable: Iterable[Path], writable: Iterable[Path]) -> None:
    """Close off all files but these and what is below them; no program may be started.

    Where the kernel can, TCP, signals to other processes and their abstract sockets too. Raises OSError.
    """
    version = abi()
    handled = (1 << _RIGHTS.get(version, 16)) - 1
    attr = _RulesetAttr(handled, 0, 0)
    if version >= _TCP_ABI:
        attr.handled_access_net = _BIND_TCP | _CONNECT_TCP
    if version >= _SCOPE_ABI:
        attr.scoped = _ABSTRACT_UNIX_SOCKET | _SIGNAL
    size = 8 if version < _TCP_ABI else 16 if version < _SCOPE_ABI else 24
    ruleset = syscall(_CREATE_RULESET, ctypes.byref(attr), size, 0)
    for access, paths in ((READ, readable), (WRITE, writable)):
        for path in paths:
            _allow(ruleset, path, access & handled)
    syscall(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _allow(ruleset: int, path: Path, access: int) -> None:
    """A path that is not there needs no rule."""
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not stat.S_ISDIR(os.fstat(opened).st_mode):
        access &= _OF_FILES
    rule = _PathBeneathAttr(access, opened)
    syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    os.close(opened)
