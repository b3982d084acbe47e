"""The walls around a model's code, attacked from inside: what gets through with one of them down is shown as well."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from glm4_intel.agent.python_tool import Limits, Walls, run_python, walls
from glm4_intel.commands.doctor import examine
from glm4_intel.machine.sandbox import child, landlock
from glm4_intel.machine.sandbox.folder import own_folder

posix = pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX systems")
walled = pytest.mark.skipif(
    sys.platform != "linux" or not landlock.abi() or os.uname().machine != "x86_64", reason="this kernel has no walls"
)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A key of this user's, as under ~/.ssh."""
    file = tmp_path / ".ssh" / "id_ed25519"
    file.parent.mkdir()
    file.write_text("SECRET-KEY")
    return file


def refused(code: str) -> str:
    """What the code says, which must be that it may not."""
    said = run_python(code)
    assert "PermissionError" in said or "not allowed" in said or "Invalid cross-device link" in said, said
    return said


@walled
def test_the_walls_that_this_kernel_has() -> None:
    found = walls()
    assert found.missing == () and found.files == "Landlock" and "seccomp" in found.network
    assert str(found).startswith("the system keeps it from files outside of its folder (Landlock), the network (")
    assert examine([])["python_tool"]["said"] == str(found)


def test_what_is_not_walled_is_said() -> None:
    said = str(Walls(memory="limits"))
    assert (
        "Python's own checks, which can be got around, keeps it from files outside of its folder, the network" in said
    )
    assert "a container or a virtual machine" in said and "(limits)" in said


WITHOUT = """
import ctypes, errno, sys
from glm4_intel.machine.sandbox import kernel, seccomp
from glm4_intel.agent import python_tool
kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
calls = seccomp._answers({calls}, seccomp._ERRNO | errno.ENOSYS)
written = [(seccomp._LOAD_WORD, 0, 0, 0), *calls, (seccomp._RETURN, 0, 0, seccomp._ALLOW)]
code = (seccomp._SockFilter * len(written))(*(seccomp._SockFilter(*each) for each in written))
kernel.prctl(kernel.PR_SET_SECCOMP, 2, ctypes.byref(seccomp._SockFprog(len(written), code)))
print(python_tool.walls().missing)
print(python_tool.run_python("print(6 * 7)\\nprint(open({secret!r}).read())"))
"""


@walled
@pytest.mark.parametrize(
    ("calls", "missing", "read"),
    [
        ((444, 445, 446), "('files outside of its folder',)", True),  # Landlock's
        ((272,), "()", False),  # unshare: Ubuntu's AppArmor, a container
        ((126,), "()", False),  # capset
    ],
)
def test_a_kernel_that_lacks_a_wall(secret: Path, calls: tuple[int, ...], missing: str, read: bool) -> None:
    """The code runs, behind those that there are, and the others are named."""
    code = WITHOUT.format(calls=calls, secret=str(secret))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith(f"{missing}\n42\n"), done
    assert ("SECRET-KEY" in done.stdout) == read


@walled
def test_files_of_the_user_are_out_of_reach(secret: Path) -> None:
    refused(f"print(open({str(secret)!r}).read())")
    refused(f"import os\nprint(os.listdir({str(secret.parent)!r}))")
    refused("print(open('/etc/passwd').read())")
    refused(f"import os\nos.link({str(secret)!r}, 'mine')")
    refused(f"import os\nos.symlink({str(secret)!r}, 'mine')\nprint(open('mine').read())")
    refused(f"import os\nos.rename({str(secret)!r}, 'mine')")
    assert "SECRET" not in run_python(
        f"import os\ntry: os.symlink({str(secret)!r}, 'm')\nexcept OSError: print(os.path.exists('m'))"
    )


@walled
def test_nothing_outside_is_written_or_changed(secret: Path) -> None:
    refused(f"open({str(secret)!r}, 'w')")
    refused(f"open({str(secret.parent / 'new')!r}, 'w')")
    refused(f"import os\nos.remove({str(secret)!r})")
    refused(f"import os\nos.truncate({str(secret)!r}, 0)")
    refused(f"import os\nos.chown({str(secret)!r}, 1, 1)")
    refused(f"import os\nos.setxattr({str(secret)!r}, 'user.x', b'1')")
    run_python(f"import os\nos.chmod({str(secret)!r}, 0o777)\nos.utime({str(secret)!r}, (0, 0))")
    assert secret.read_text() == "SECRET-KEY"
    assert secret.stat().st_mtime > 1e9 and secret.stat().st_mode & 0o777 != 0o777


@walled
def test_what_python_reads_it_may_not_empty(tmp_path: Path) -> None:
    """Opening a file to read it alone, and to empty it, is what Landlock's first versions let pass."""
    file = Path(json.__file__)
    before = file.read_bytes()
    refused(f"import os\nos.open({str(file)!r}, os.O_RDONLY | os.O_TRUNC)")
    refused(f"open({str(file)!r}, 'a')")
    assert file.read_bytes() == before


@walled
@pytest.mark.enable_socket
def test_a_port_that_listens_next_door() -> None:
    """Past Python's own sockets: the code makes the calls itself."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        refused(f"import socket\nsocket.create_connection(('127.0.0.1', {listening.getsockname()[1]}))")
        refused("import _socket\n_socket.socket()")
        said = run_raw("int(syscall(41, 2, 1, 0))")
        assert said == "-1\n"
        listening.settimeout(0.1)
        with pytest.raises(TimeoutError):
            listening.accept()


def run_raw(expression: str) -> str:
    """Evaluate with `syscall`, a function of the C library, behind the kernel's walls alone: no audit hook is asked."""
    code = f"""
import json, sys
from pathlib import Path
sys.path.insert(0, {str(Path(child.__file__).parents[2])!r})
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def syscall(number, *arguments):
    return libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
from glm4_intel.machine.sandbox.limits import Limits
from glm4_intel.machine.sandbox.walls import raise_walls
raise_walls(Path.cwd(), Limits())
print(eval({expression!r}))
"""
    with own_folder() as folder:
        done = subprocess.run(
            [sys.executable, "-I", "-c", code], cwd=folder, capture_output=True, text=True, timeout=30
        )
    return done.stdout + done.stderr


@walled
@pytest.mark.parametrize(
    "call",
    [
        "syscall(56, 17, 0, 0, 0, 0)",  # clone
        "syscall(57)",  # fork
        "syscall(58)",  # vfork
        "syscall(435, ctypes.create_string_buffer(88), 88)",  # clone3
        "syscall(59, b'/bin/true', None, None)",  # execve
        "syscall(322, -100, b'/bin/true', None, None, 0)",  # execveat
        "syscall(62, os.getppid(), 0)",  # kill
        "syscall(234, os.getppid(), os.getppid(), 0)",  # tgkill
        "syscall(424, 3, 9, None, 0)",  # pidfd_send_signal
        "syscall(129, os.getppid(), 9, ctypes.create_string_buffer(128))",  # rt_sigqueueinfo
        "syscall(62, -1, 0)",  # kill of all
        "syscall(101, 16, os.getppid(), 0, 0)",  # ptrace, to attach
        "syscall(310, os.getppid(), None, 0, None, 0, 0)",  # process_vm_readv
        "syscall(302, os.getppid(), 7, ctypes.create_string_buffer(16), None)",  # prlimit64
        "syscall(72, 1, 8, os.getppid())",  # fcntl F_SETOWN, then a signal at each byte
        "syscall(16, 1, 0x5412, b'x')",  # ioctl TIOCSTI, which types into a terminal
        "syscall(53, 1, 1, 0, ctypes.create_string_buffer(8))",  # socketpair
        "syscall(425, 8, ctypes.create_string_buffer(120))",  # io_uring_setup, whose calls pass by a filter
        "syscall(272, 0x10000000)",  # unshare
        "syscall(165, b'none', b'/tmp', b'tmpfs', 0, None)",  # mount
        "syscall(319, b'x', 0)",  # memfd_create
        "syscall(29, 0, 4096, 0o1600)",  # shmget, which outlives the process
        "syscall(0x40000000 + 57)",  # fork by the x32 interface
        "syscall(157, 22, 0, 0, 0, 0)",  # prctl
        "syscall(321, 0, None, 0)",  # bpf
        "syscall(304, -100, None, 0)",  # open_by_handle_at
    ],
)
def test_calls_that_the_kernel_refuses(call: str) -> None:
    said = run_raw(f"({call}, ctypes.get_errno())")
    assert said.strip() == "(-1, 1)", said


@walled
def test_other_processes_are_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    for name in ("environ", "mem", "cmdline", "maps"):
        refused(f"import os\nprint(open(f'/proc/{{os.getppid()}}/{name}', 'rb').read(10))")
        refused(f"print(open('/proc/{os.getpid()}/{name}', 'rb').read(10))")
    refused(f"import os\nprint(os.readlink('/proc/{os.getpid()}/cwd'))")
    assert "secret" not in run_python("import os\nprint(dict(os.environ))")


@walled
def test_it_holds_no_file_of_ours(tmp_path: Path) -> None:
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        said = run_python("import os\nprint([fd for fd in range(64) if os.path.exists(f'/proc/self/fd/{fd}')])")
    assert said == "[0, 1, 2]\n"
    assert run_python("import os\nos.read(0, 5)") == "b''\n"
    assert "EOFError" in run_python("input()")


def test_standard_output_tricks() -> None:
    assert run_python("import os\nos.write(1, b'\\xff\\x00x')") == "�\0x3\n"
    assert run_python("import os, sys\nsys.stdout.flush()\nos.close(1)\nos.close(2)") == ""
    assert run_python("import os\nos._exit(3)") == ""
    started = time.perf_counter()
    shown = run_python("import sys\nfor _ in range(1024): sys.stdout.write('x' * 2**20)")
    assert len(shown) < 17_000 and time.perf_counter() - started < 5
    with pytest.raises(TimeoutError):
        run_python("import os, time\nos.close(1); os.close(2)\ntime.sleep(60)", Limits(seconds=0.5))


def test_code_with_half_a_surrogate() -> None:
    assert run_python("print('a\ud800b')") == "a?b\n"


@posix
def test_a_process_that_dies_is_told() -> None:
    assert run_python("print(1, flush=True)\nimport os\nos.abort()") == "1\n\nthe code's process was ended by SIGABRT\n"


@walled
def test_no_process_and_no_thread_is_left_or_started() -> None:
    said = run_raw("[syscall(57) for _ in range(100)].count(-1)")
    assert said == "100\n"
    assert "can't start new thread" in run_python("import threading\nthreading.Thread(target=print).start()")
    before = threading.active_count()
    with pytest.raises(TimeoutError):
        run_python("import signal, time\nsignal.pthread_sigmask(0, range(1, 65))\ntime.sleep(60)", Limits(seconds=0.3))
    time.sleep(0.1)
    assert threading.active_count() <= before
    assert "glm4_intel.machine.sandbox.child" not in subprocess.run(["ps", "ax"], capture_output=True, text=True).stdout


@walled
def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = "from glm4_intel.agent.python_tool import Limits, run_python\nrun_python('import time; time.sleep(99)')"
    parent = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"TMPDIR": str(tmp_path)})
    child = wait_for_child(parent.pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    for _ in range(50):
        if not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2]:
            return
        time.sleep(0.1)
    raise AssertionError("the code outlived it")


def wait_for_child(parent: int) -> int:
    """The child that has begun to sleep: it is the second, after the one that looked for walls."""
    for _ in range(100):
        time.sleep(0.1)
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        if children and "99" in run_state(int(children[0])):
            return int(children[0])
    raise AssertionError("it did not start")


def run_state(process: int) -> str:
    """ "99" for one that sleeps behind a filter."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return ""
    return "99" if "State:\tS" in status and "Seccomp:\t2" in status else ""


REMOVED_AND_HELD = """
import os, time
held = []
for _ in range(50):
    held.append(open('f', 'wb', 0))
    os.remove('f')
    held[-1].write(bytes(10**7))
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="shows open files in /proc")
def test_many_files_fill_no_disk() -> None:
    started = time.perf_counter()
    with pytest.raises(OSError, match="its files have more than 64 MiB"):
        run_python("i = 0\nwhile True:\n    i += 1\n    open(f'f{i}', 'wb').write(bytes(10**6))")
    with pytest.raises(OSError, match="more than 1,000 files"):
        run_python("import os\ni = 0\nwhile True:\n    i += 1\n    os.mkdir(f'f{i}')")
    with pytest.raises(OSError, match="its files have more than 64 MiB"):
        run_python(REMOVED_AND_HELD)
    assert time.perf_counter() - started < 20


@posix
@pytest.mark.parametrize(
    "code",
    [
        "for _ in range(900):\n    os.mkdir('d'); os.chdir('d')",  # deeper than recursion goes
        "for _ in range(40):\n    os.mkdir('d' * 250); os.chdir('d' * 250)",  # longer than a path may be
        "os.mkdir('closed', 0o300); os.chdir('closed'); open('f', 'w').write('x')",
        "os.mkdir('closed', 0)",
        "open('.removed', 'w'); os.mkdir('d'); open('d/.removed', 'w')",
    ],
)
def test_nothing_is_left_of_its_folder(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    try:
        run_python(f"import os\n{code}")
    except OSError as error:
        assert "can't be looked into" in str(error)
    assert list(tmp_path.iterdir()) == []


@posix
def test_memory_is_limited() -> None:
    assert "MemoryError" in run_python("x = bytearray(2**31)")
    assert "MemoryError" in run_python("x = []\nwhile True: x.append(bytes(10**7))")


COMPUTES = {
    "import statistics\nstatistics.stdev([1, 2, 4])": "1.5275",
    "import json\njson.dumps({'a': [1, None]})": '{"a": [1, null]}',
    "import datetime, zoneinfo\nzone = zoneinfo.ZoneInfo('Asia/Shanghai')\n"
    "datetime.datetime(2026, 1, 1, tzinfo=zone).utcoffset()": "28800",
    "import decimal, fractions, math, random, re, csv, itertools, hashlib\nfractions.Fraction(1, 3) + 1": "4, 3",
    "import numpy as np\nfloat(np.linalg.det(np.eye(200)) + np.fft.fft(np.ones(8)).real.sum())": "9.0",
    "import sqlite3\nd = sqlite3.connect('x.db')\nd.execute('select 6 * 7').fetchall()": "42",
    "import shutil, os\nopen('a', 'w').write('hi')\nshutil.copy2('a', 'b')\nopen('b').read()": "hi",
    "import tempfile\nwith tempfile.TemporaryFile() as f: f.write(b'x')\n"
    "with tempfile.TemporaryDirectory() as d: print('ok')": "ok",
    "import signal\nsignal.signal(signal.SIGUSR1, lambda *a: print('got'))\nsignal.raise_signal(signal.SIGUSR1)": "got",
}  # fmt: skip


@pytest.mark.parametrize("code", COMPUTES)
def test_it_still_does_its_work(code: str) -> None:
    assert COMPUTES[code] in run_python(code)


def test_an_error_shows_the_lines_of_the_code_alone() -> None:
    said = run_python("def f():\n    return 1 / 0\nf()")
    assert said.startswith('Traceback (most recent call last):\n  File "<code>", line 3') and "child.py" not in said


def test_walls_that_have_gone_stop_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said of the walls holds for every run, or nothing is run."""
    monkeypatch.setattr("glm4_intel.agent.python_tool.walls", lambda: Walls(files="another", network="wall"))
    assert run_python("print(6 * 7)").startswith("the code was not run: of the walls there are only")
