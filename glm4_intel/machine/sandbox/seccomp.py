"""seccomp: the kernel's calls that Python computes with, and no others.

No socket, no new process or thread, no program, no signal to another process, no mode or owner of a file changed. A
filter is a program of the classic BPF: https://docs.kernel.org/userspace-api/seccomp_filter.html.
"""

import ctypes
import errno
import os
import platform
from collections.abc import Iterable, Sequence

from .kernel import PR_SET_SECCOMP, prctl

_MODE_FILTER = 2
_LOAD_WORD, _AND, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06
"""BPF_LD|BPF_W|BPF_ABS, BPF_ALU|BPF_AND|BPF_K, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K."""
_KILL_PROCESS, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16  # in struct seccomp_data
_X86_64 = 0xC000003E  # AUDIT_ARCH_X86_64

_ALLOWED = {  # of x86-64: linux/arch/x86/entry/syscalls/syscall_64.tbl
    "read": 0, "write": 1, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7, "lseek": 8, "mmap": 9,
    "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15,
    "pread64": 17, "pwrite64": 18, "readv": 19, "writev": 20, "access": 21, "pipe": 22, "select": 23,
    "sched_yield": 24, "mremap": 25, "msync": 26, "mincore": 27, "madvise": 28, "dup": 32, "dup2": 33, "pause": 34,
    "nanosleep": 35, "getitimer": 36, "alarm": 37, "setitimer": 38, "getpid": 39, "sendfile": 40, "exit": 60,
    "uname": 63, "flock": 73, "fsync": 74, "fdatasync": 75, "ftruncate": 77, "getdents": 78, "getcwd": 79, "chdir": 80,
    "fchdir": 81, "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85, "link": 86, "unlink": 87, "readlink": 89,
    "umask": 95, "gettimeofday": 96, "getrlimit": 97, "getrusage": 98, "sysinfo": 99, "times": 100, "getuid": 102,
    "getgid": 104, "geteuid": 107, "getegid": 108, "getppid": 110, "getpgrp": 111, "getgroups": 115, "getresuid": 118,
    "getresgid": 120, "rt_sigpending": 127, "rt_sigtimedwait": 128, "rt_sigsuspend": 130, "sigaltstack": 131,
    "statfs": 137, "fstatfs": 138, "gettid": 186, "time": 201, "futex": 202, "sched_getaffinity": 204,
    "getdents64": 217, "restart_syscall": 219, "fadvise64": 221, "clock_gettime": 228, "clock_getres": 229,
    "clock_nanosleep": 230, "exit_group": 231, "epoll_wait": 232, "epoll_ctl": 233, "get_mempolicy": 239,
    "mkdirat": 258, "newfstatat": 262, "unlinkat": 263, "renameat": 264, "linkat": 265,
    "readlinkat": 267, "faccessat": 269, "pselect6": 270, "ppoll": 271, "epoll_pwait": 281, "fallocate": 285,
    "eventfd2": 290, "epoll_create1": 291, "dup3": 292, "pipe2": 293, "preadv": 295, "pwritev": 296, "getcpu": 309,
    "renameat2": 316, "getrandom": 318, "membarrier": 324, "copy_file_range": 326, "statx": 332, "close_range": 436,
    "faccessat2": 439,
}  # fmt: skip
_PRETENDED = {  # that succeed and do nothing: copying a file sets its mode and times, which Landlock doesn't guard
    "chmod": 90, "fchmod": 91, "fchmodat": 268, "fchmodat2": 452, "utimensat": 280,
}  # fmt: skip
_ABSENT = {"getxattr": 191, "lgetxattr": 192, "fgetxattr": 193, "listxattr": 194, "llistxattr": 195, "flistxattr": 196}
"""That are answered as a file system answers which has no such attributes; copying a file asks for them."""
_OPEN, _OPENAT = 2, 257
_ACCESS_MODE, _TRUNCATE = 0o3, 0o1000  # O_ACCMODE, O_TRUNC
_IOCTL, _FCNTL, _KILL, _TKILL, _TGKILL, _PRLIMIT64 = 16, 72, 62, 200, 234, 302
_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS TIOCGWINSZ FIONREAD FIONBIO FIONCLEX FIOCLEX
_FCNTLS = (0, 1, 2, 3, 4, 5, 6, 7, 1030)  # descriptors, flags and locks; not F_SETOWN, which sends signals


class _SockFilter(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32)]


class _SockFprog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_uint16), ("filter", ctypes.POINTER(_SockFilter))]


Instruction = tuple[int, int, int, int]
"""Code, how many instructions to skip if it holds and if it doesn't, and a value."""


def restrict() -> None:
    """Let this process make the calls above, for good. Raises OSError where the kernel or the processor has no such."""
    if platform.machine() != "x86_64" or ctypes.sizeof(ctypes.c_void_p) != 8:
        raise OSError(errno.ENOSYS, "the table of calls is x86-64's")
    written = program(os.getpid())
    code = (_SockFilter * len(written))(*(_SockFilter(*each) for each in written))
    prctl(PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(_SockFprog(len(written), code)))


def program(own: int) -> list[Instruction]:
    """The filter for the process `own`, which may send signals to itself."""
    return [
        (_LOAD_WORD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_IF_EQUAL, 1, 0, _X86_64),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD_WORD, 0, 0, _NUMBER_AT),
        *_answers(_ALLOWED.values(), _ALLOW),
        *_answers(_PRETENDED.values(), _ERRNO),
        *_answers(_ABSENT.values(), _ERRNO | errno.ENOTSUP),
        *_opening(_OPEN, 1),
        *_opening(_OPENAT, 2),
        *_where_argument(_IOCTL, 1, _IOCTLS),
        *_where_argument(_FCNTL, 1, _FCNTLS),
        *_where_argument(_PRLIMIT64, 0, (0,)),
        *(each for call in (_KILL, _TKILL, _TGKILL) for each in _where_argument(call, 0, (own,))),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
    ]


def _answers(values: Iterable[int], answer: int) -> list[Instruction]:
    return [each for value in values for each in ((_JUMP_IF_EQUAL, 0, 1, value), (_RETURN, 0, 0, answer))]


def _opening(call: int, flags: int) -> list[Instruction]:
    """Any but to empty a file for reading alone, which Landlock lets pass before its third ABI."""
    return [
        (_JUMP_IF_EQUAL, 0, 5, call),
        (_LOAD_WORD, 0, 0, _ARGUMENTS_AT + 8 * flags),
        (_AND, 0, 0, _ACCESS_MODE | _TRUNCATE),
        (_JUMP_IF_EQUAL, 0, 1, _TRUNCATE),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _where_argument(call: int, argument: int, values: Sequence[int]) -> list[Instruction]:
    """The call with one of these values in the low half of an argument, which is all that it reads of it."""
    taken = _answers(values, _ALLOW)
    refused = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    return [
        (_JUMP_IF_EQUAL, 0, len(taken) + 2, call),
        (_LOAD_WORD, 0, 0, _ARGUMENTS_AT + 8 * argument),
        *taken,
        refused,
    ]
