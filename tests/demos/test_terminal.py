"""The terminal chat in a pseudo-terminal, its screen read by a terminal emulator; and in a pipe."""

import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from glm4_demos.dialogue import Dialogue, Turn
from glm4_demos.store import Store
from glm4_demos.terminal import COMMANDS
from glm4_demos.writing import MarkdownWriter, settled_part
from glm4_intel.commands.output import printable

pyte = pytest.importorskip("pyte", reason="pip install -r requirements-dev.txt")
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX pseudo-terminals")
COUNTING = "Count from 1 to 200."
NPU_THROUGH_CPU = ["--device", "NPU", "--property", "NPUW_DEVICES=CPU", "--property", "NPUW_ONLINE_PIPELINE=NONE"]


class Terminal:
    """A program in a terminal of 80 by 24, and what its screen has shown."""

    def __init__(self, command: list[str], folder: Path, **changes: str) -> None:
        import pty

        self._leader, follower = pty.openpty()
        os.set_blocking(self._leader, False)
        self.screen = pyte.HistoryScreen(80, 24, history=5000)
        self._stream = pyte.ByteStream(self.screen)
        self.resize(80, 24)
        environment = {**os.environ, "GLM4_CACHE": str(folder / "cache"), "GLM4_DATA": str(folder / "data"),
                       "TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1", "COLUMNS": "", "LINES": "",
                       **changes}  # fmt: skip
        self.process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=environment,
                                        cwd=folder, start_new_session=True, preexec_fn=_own_terminal)  # fmt: skip
        os.close(follower)

    def resize(self, columns: int, lines: int) -> None:
        import fcntl
        import termios

        fcntl.ioctl(self._leader, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen.resize(lines, columns)
        if hasattr(self, "process"):
            os.killpg(self.process.pid, signal.SIGWINCH)

    def type(self, keys: str) -> None:
        """Reads what the program shows meanwhile: with both of a terminal's buffers full, each side waits forever."""
        left = keys.encode()
        while left:
            readable, writable, _ = select.select([self._leader], [self._leader], [])
            if readable:
                self.read(0)
            if writable:
                left = left[os.write(self._leader, left) :]

    def shown(self) -> str:
        """Everything that the terminal has shown, what has scrolled away included."""
        past = ["".join(line[column].data for column in range(self.screen.columns)) for line in self.screen.history.top]
        return "\n".join(line.rstrip() for line in [*past, *self.screen.display])

    def wait_for(self, text: str, times: int = 1, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while self.shown().count(text) < times:
            assert time.monotonic() < deadline, self.shown()
            self.read(0.2)

    def read_for(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.read(0.1)

    def wait_for_prompt(self, seconds: float = 30) -> None:
        """Until a line can be typed: before, the system itself takes what is typed, and cuts it at 4,096 letters."""
        deadline = time.monotonic() + seconds
        while not self.screen.display[self.screen.cursor.y].startswith("> "):
            assert time.monotonic() < deadline, self.shown()
            self.read(0.2)

    def read(self, seconds: float) -> None:
        if select.select([self._leader], [], [], seconds)[0]:
            try:
                self._stream.feed(os.read(self._leader, 65536))
            except OSError:  # the program has ended
                time.sleep(0.05)

    def ended(self) -> int:
        """The exit status, once the program has left."""
        deadline = time.monotonic() + 20
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.shown()
            self.read(0.1)
        return int(self.process.returncode)


def _own_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def chat(model: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "glm4_intel.cli", "chat", str(model), "--temperature", "0", *arguments]


@pytest.fixture
def terminal(nano: Path, tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(chat(nano), tmp_path)
    terminal.wait_for("twice leaves")
    terminal.wait_for("\n>")
    yield terminal
    terminal.process.kill()


@pytest.fixture
def slow_terminal(npu_nano: Path, tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(chat(npu_nano, *NPU_THROUGH_CPU), tmp_path)
    terminal.wait_for("\n>", seconds=60)
    yield terminal
    terminal.process.kill()


@posix
def test_every_command(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "story.txt").write_text("The code of the garage is 4821. Mira lives in Oslo.", encoding="utf-8")
    dialogue = [
        ("My name is Mira.", "Nice to meet you, Mira!"),
        ("What is my name?", "Your name is Mira."),
        ("/retry", "tokens/s]"),
        ("/stats", "of 2,048 tokens"),
        ("/save talk.json", "Saved to talk.json."),
        ("/save", "Saved to conversation.md."),
        ("/load talk.json", "This conversation goes on: My name is Mira. (4 messages)."),
        ("What is my name?", "Your name is Mira."),
        ("/resume", "  2 My name is Mira."),
        ("/resume 2", "(4 messages)."),
        ("/resume 9", "There is no conversation 9"),
        ("/load none.json", "none.json can't be read"),
        ("/clear", "A new conversation."),
        ("/load story.txt", "tokens of the context's 2,048"),
        ("What is the code of the garage?", "The code of the garage is 4821."),
        ("/tools get_time", "on  get_time"),
        ("What time is it in Tokyo?", "→ get_time"),
        ("/tools get_time", "off get_time"),
        ("/system Always answer in Chinese.", "Always answer in Chinese."),
        ("/clear", "A new conversation."),
        ("Hello", "你"),
        ("/device", "CPU"),
        ("/device CPU", "on CPU, context 2,048"),
        ("/help", "/stats"),
        ("/nothing", "There is no command /nothing"),
        ("/load", "/load needs a file"),
        ("/save no/such/folder/x.md", "can't be written"),
        ("/load none.txt", "can't be read"),
        ("/tools hammer", "There is no tool 'hammer'"),
        ("/device GPU.9", "There is no device GPU.9"),
        ("red " * 3000, "model's context is 2,048"),
    ]
    used = {line.split()[0] for line, _ in dialogue if line.startswith("/")}
    assert set(COMMANDS) <= used
    for line, answer in dialogue:
        before = terminal.shown().count(answer)
        terminal.type(line + "\r")
        terminal.wait_for(answer, before + 1 if answer not in line else before + 2)
        terminal.wait_for_prompt()
    terminal.type("/exit\r")
    assert terminal.ended() == 0
    talk = json.loads((tmp_path / "talk.json").read_text(encoding="utf-8"))
    assert [turn["role"] for turn in talk["turns"]] == ["user", "assistant", "user", "assistant"]
    assert "Your name is Mira." in (tmp_path / "conversation.md").read_text(encoding="utf-8")
    assert "My name is Mira." in (tmp_path / "cache" / "history").read_text(encoding="utf-8")


@posix
def test_ctrl_c_stops_a_reply_and_not_the_program(slow_terminal: Terminal) -> None:
    slow_terminal.type(COUNTING + "\r")
    slow_terminal.wait_for("1, 2, 3, 4")
    slow_terminal.type("\x03")
    slow_terminal.wait_for("[stopped]")
    assert "199, 200" not in slow_terminal.shown()
    slow_terminal.type("What is 5 + 6?\r")
    slow_terminal.wait_for("5 + 6 = 11")
    slow_terminal.type("/exit\r")
    assert slow_terminal.ended() == 0


@posix
def test_ctrl_c_twice_leaves(slow_terminal: Terminal) -> None:
    slow_terminal.type(COUNTING + "\r")
    slow_terminal.wait_for("1, 2, 3, 4")
    slow_terminal.type("\x03")
    slow_terminal.wait_for("(Ctrl-C again leaves)")
    slow_terminal.type("\x03")
    assert slow_terminal.ended() == 130
    assert "Traceback" not in slow_terminal.shown()


@posix
def test_a_resize_while_a_reply_is_written(slow_terminal: Terminal) -> None:
    slow_terminal.type(COUNTING + "\r")
    slow_terminal.wait_for("1, 2, 3, 4")
    slow_terminal.resize(50, 20)
    slow_terminal.wait_for("s/s]", seconds=60)
    shown = slow_terminal.shown()
    assert all(len(line) <= 50 for line in shown.splitlines()[-15:])
    assert "97, 98, 99" in " ".join(shown.split()) and "Traceback" not in shown
    slow_terminal.type("What is 5 + 6?\r")
    slow_terminal.wait_for("5 + 6 = 11")


@posix
def test_lines_completion_and_the_end_of_the_input(terminal: Terminal) -> None:
    terminal.type("Repeat exactly: one\x1b\rtwo")
    terminal.wait_for("two")
    terminal.type("\x03")
    terminal.wait_for("(Ctrl-C again leaves)")
    terminal.type("/sta\t")
    terminal.wait_for("/stats")
    terminal.type("\r")
    terminal.wait_for("of 2,048 tokens\n>")  # before the prompt nobody reads keys, and a Ctrl-D would be lost
    terminal.type("\x04")
    assert terminal.ended() == 0


def test_in_a_pipe_it_is_plain_text(nano: Path) -> None:
    lines = "My name is Mira.\nWhat is my name?\n/help\n/clear\n/exit\nnever read\n"
    done = subprocess.run(chat(nano), input=lines, capture_output=True, text=True, timeout=120)
    assert done.stdout == "Nice to meet you, Mira!\nYour name is Mira.\n"
    assert "/clear" in done.stderr and done.returncode == 0


def test_a_conversation_in_a_pipe_is_resumed_and_opened_from_a_file(nano: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "GLM4_DATA": str(tmp_path / "data")}

    def said(lines: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(chat(nano, *arguments), input=lines, capture_output=True, text=True, timeout=120,
                              cwd=tmp_path, env=environment)  # fmt: skip

    said("My name is Mira.\n/save talk.json\n")
    again = said("What is my name?\n/exit\n", "--resume")
    assert again.stdout == "Your name is Mira.\n" and "> My name is Mira.\n< Nice to meet you, Mira!" in again.stderr
    brought = said("/load talk.json\nWhat is my name?\n/resume\n")
    assert brought.stdout == "Your name is Mira.\n" and "  2 My name is Mira." in brought.stderr
    modes = {each.stat().st_mode & 0o777 for each in (tmp_path / "data").rglob("*") if each.is_file()}
    assert os.name == "nt" or modes == {0o600}


def test_a_conversation_that_can_not_be_saved_goes_on(nano: Path) -> None:
    done = subprocess.run(chat(nano), input="My name is Mira.\nWhat is my name?\n", capture_output=True, text=True,
                          timeout=120, env={**os.environ, "GLM4_DATA": "/proc/nowhere"})  # fmt: skip
    assert done.stdout == "Nice to meet you, Mira!\nYour name is Mira.\n"
    assert done.stderr.count("is not saved") == 1 and "Traceback" not in done.stderr


def test_a_device_that_refuses_gives_the_old_one_back(npu_nano: Path) -> None:
    """GPU.9 is known to be missing beforehand; the CPU refuses the NPU's properties when the old model is closed."""
    lines = "My name is Mira.\n/device GPU.9\nWhat is my name?\n/device CPU\nWhat is my name?\n/device\n/exit\n"
    done = subprocess.run(chat(npu_nano, *NPU_THROUGH_CPU), input=lines, capture_output=True, text=True, timeout=120)
    assert done.stdout == "Nice to meet you, Mira!\nYour name is Mira.\nYour name is Mira.\n", done.stderr
    missing, refused = done.stderr.index("There is no device GPU.9"), done.stderr.index("Unsupported property")
    loaded = [at for at in range(len(done.stderr)) if done.stderr.startswith("on NPU, context", at)]
    assert len(loaded) == 2 and loaded[0] < missing < loaded[1] < refused
    assert done.stderr.rstrip().endswith("NPU") and done.returncode == 0


def test_tools_are_for_a_conversation(nano: Path) -> None:
    done = subprocess.run(chat(nano, "--prompt", "x", "--tools", "python"), capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "--tools is for a conversation" in done.stderr


def test_markdown_settles_at_empty_lines_outside_of_code() -> None:
    assert settled_part("one\n\ntwo") == ("one\n\n", "two")
    assert settled_part("one\n\n```\na\n\nb") == ("one\n\n", "```\na\n\nb")
    assert settled_part("```\na\n\nb\n```\n\nrest") == ("```\na\n\nb\n```\n\n", "rest")
    assert settled_part("one line") == ("", "one line")


def test_long_names_that_begin_alike_have_folders_of_their_own(tmp_path: Path) -> None:
    one, other = Store("智" * 20 + "一", tmp_path), Store("智" * 20 + "二", tmp_path)
    one.save(Dialogue(title="Names", turns=[Turn("user", "I am the first.")]))
    assert len(one.titles()) == 1 and other.titles() == []


def test_the_store_keeps_people_apart_and_survives_damage(tmp_path: Path) -> None:
    one, other = Store("ada", tmp_path), Store("../ada", tmp_path)
    conversation = Dialogue(title="Names", turns=[Turn("user", "My name is Mira.")])
    one.save(conversation)
    assert one.titles() == [("Names", conversation.id)] and other.titles() == []
    assert one.open(conversation.id) == conversation and other.open(conversation.id) is None
    (tmp_path / "ada" / f"{'0' * 32}.json").write_text("{broken", encoding="utf-8")
    assert [title for title, _ in one.titles()] == ["Names"]
    assert one.open("../../etc/passwd") is None
    one.delete(conversation.id)
    assert one.titles() == []


@posix
def test_ctrl_c_in_two_replies_in_a_row_keeps_the_conversation(slow_terminal: Terminal) -> None:
    for number in (1, 2):
        slow_terminal.type(COUNTING + "\r")
        slow_terminal.read_for(1.5)
        slow_terminal.type("\x03")
        slow_terminal.wait_for("[stopped]", number)
        slow_terminal.wait_for_prompt()
    slow_terminal.type("/stats\r")
    slow_terminal.wait_for("of 2,048 tokens")
    slow_terminal.type("/exit\r")
    assert slow_terminal.ended() == 0


def test_nothing_of_a_reply_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    wild = "a\x1b]0;title\x07b\x1b[2J\x9b31m\x00\tc\u202e\n"
    assert printable(wild) == "a\ufffd]0;title\ufffdb\ufffd[2J\ufffd31m\ufffd\tc\ufffd\n"
    written = MarkdownWriter()
    written.thought(wild)
    written.write(wild)
    written.finish()
    assert "\x1b]" not in capsys.readouterr().out


@posix
def test_a_home_that_can_not_be_written(nano: Path, tmp_path: Path) -> None:
    at_proc = Terminal(chat(nano), tmp_path, GLM4_CACHE="/proc/nowhere")
    at_proc.wait_for("is not remembered")
    at_proc.wait_for_prompt()
    at_proc.type("What is 5 + 6?\r")
    at_proc.wait_for("5 + 6 = 11")
    at_proc.type("/save notes.md\r")
    at_proc.wait_for("Saved to notes.md")
    at_proc.type("/save notes.md\r")
    at_proc.wait_for("notes.md exists, and is left as it is")
    at_proc.type("/save ~nobody-of-that-name/x.md\r")
    at_proc.wait_for("is no path")
    at_proc.type("/exit\r")
    assert at_proc.ended() == 0
