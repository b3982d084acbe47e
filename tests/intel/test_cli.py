"""The command line as a user meets it: in processes of its own."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def run(*arguments: str | Path, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "glm4_intel.cli", *map(str, arguments)]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=300, env={**os.environ, **environment}
    )


def fails(process: subprocess.CompletedProcess[str], said: str, status: int = 1) -> None:
    assert process.returncode == status
    assert said in process.stderr
    assert "Traceback" not in process.stderr and process.stdout == ""


def seconds(code: str) -> float:
    """The best of five runs, in a process of its own, of what `code` prints."""
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(5)]
    return min(float(each.stdout) for each in runs)


def test_help_is_quick() -> None:
    best = min(_timed("--help") for _ in range(5))
    bare = min(_timed_bare() for _ in range(5))
    assert best - bare < 0.2


def _timed(*arguments: str) -> float:
    started = time.perf_counter()
    assert run(*arguments).returncode == 0
    return time.perf_counter() - started


def _timed_bare() -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - started


def test_importing_is_quick_and_light() -> None:
    timed = "import time; t = time.perf_counter(); import glm4_intel; print(time.perf_counter() - t)"
    assert seconds(timed) < 0.15


def test_a_whole_chat_needs_neither_torch_nor_transformers(nano: Path) -> None:
    code = (
        "import sys, glm4_intel\n"
        f"reply = glm4_intel.load({str(nano)!r}).generate([{{'role': 'user', 'content': '5 + 6'}}], temperature=0)\n"
        "print(reply.text, [name for name in ('torch', 'transformers', 'nncf') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "5 + 6 = 11 []\n"


def test_one_reply_as_json(nano: Path) -> None:
    process = run("chat", nano, "--prompt", "What is 17 + 25?", "--json")
    reply = json.loads(process.stdout)
    assert {"text", "finish_reason", "usage", "timing"} <= set(reply)
    assert "42" in reply["text"] and reply["finish_reason"] == "stop"


def test_one_reply_as_text_obeys_the_system_message(nano: Path) -> None:
    process = run(
        "chat", nano, "--prompt", "-", "--system", "Always answer in Chinese.", "--temperature", "0", stdin="Hello"
    )
    assert process.stdout.startswith("你好！")


def test_a_conversation_goes_on_after_a_prompt_that_is_too_long(nano: Path) -> None:
    process = run("chat", nano, "--temperature", "0", stdin="red " * 4000 + "\n5 + 6\n")
    assert "model's context is 2,048" in process.stderr and process.stdout == "5 + 6 = 11\n"


def test_doctor() -> None:
    assert "CPU" in run("doctor").stdout
    devices = json.loads(run("doctor", "--json").stdout)["devices"]
    assert devices[0]["name"] == "CPU" and devices[0]["full_name"]


def test_bad_input_is_one_line_and_a_hint(nano: Path, tmp_path: Path) -> None:
    fails(run("chat", tmp_path / "none", "--prompt", "x"), "error: There is no model directory")
    fails(run("chat", nano, "--json"), "error: --json needs --prompt")
    fails(run("chat", nano, "--prompt", ""), "error: The prompt is empty")
    fails(run("chat", nano, "--prompt", "x", "--device", "NPU"), "error: There is no device NPU")
    fails(run("chat", nano, "--prompt", "x", "--temperature", "-3"), "error: temperature is -3")
    fails(run("chat", nano, "--prompt", "red " * 9000), "hint: Shorten the text")
    fails(run("export", "no/such/thing", tmp_path / "out"), "is no folder and no hub id")
    fails(run("export", "nano", nano), "exists")
    fails(run("export", "nano", tmp_path / "out", "--recipe", "int3"), "There is no recipe 'int3'")
    fails(run("export"), "usage:", status=2)
    fails(run("fly"), "invalid choice", status=2)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_while_a_reply_is_written_ends_a_single_reply(nano: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "glm4_intel.cli",
        "chat",
        str(nano),
        "--prompt",
        "Count from 1 to 59",
        "--temperature",
        "0",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert process.returncode in (0, 130)  # 0 if the reply was whole by then
    assert "Traceback" not in errors


def test_demo_exports_once_and_answers(tmp_path: Path) -> None:
    first = run("demo", GLM4_CACHE=str(tmp_path))
    assert "17 + 25 = 42" in first.stdout and "4821" in first.stdout and "tokens/s" in first.stdout
    assert "converting" in first.stderr
    second = run("demo", GLM4_CACHE=str(tmp_path))
    assert "17 + 25 = 42" in second.stdout and "converting" not in second.stderr


def test_version() -> None:
    from glm4_intel import __version__

    assert run("--version").stdout == f"glm4-intel {__version__}\n"


@pytest.mark.parametrize("encoding", ["gbk", "cp1252", "ascii"])
def test_consoles_that_are_not_utf_8(nano: Path, encoding: str) -> None:
    asked = ("chat", nano, "--temperature", "0", "--max-new-tokens", "12", "--prompt")
    for arguments in ((*asked, "Repeat: 🙂"), (*asked, "你好", "--json"), ("chat", "--help"), ("doctor",)):
        command = [sys.executable, "-m", "glm4_intel", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding})
        assert done.returncode == 0 and b"Traceback" not in done.stderr
        if "--json" in arguments:
            assert json.loads(done.stdout)["text"].startswith("你好")


def shell(line: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A line of the shell in which `glm4` is the command line."""
    define = f'glm4() {{ "{sys.executable}" -m glm4_intel "$@"; }}; '
    return subprocess.run(["bash", "-c", define + line, "bash", *map(str, arguments)], capture_output=True, text=True)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX")
@pytest.mark.parametrize(
    ("line", "out", "said"),
    [
        ("glm4 completion bash | true; echo ${PIPESTATUS[0]}", "141\n", ""),
        ("glm4 completion bash > /dev/full; echo $?", "1\n", "error: No space left on device\nhint: Check the path"),
        (
            "unset PYTHONUNBUFFERED; glm4 --help > /dev/full; echo $?",
            "1\n",
            "error: No space left on device\nhint: Check the path",
        ),
        ("unset PYTHONUNBUFFERED; glm4 list | true; echo ${PIPESTATUS[0]}", "141\n", ""),
        ("glm4 list >&- 2>&- <&-; echo $?", "0\n", ""),
        ('glm4 chat "$1" "5 + 6" --temperature 0 >&- <&-; echo $?', "0\n", "loading "),
        ('glm4 chat "$1" <&-; echo $?', "0\n", "loading "),
        ('glm4 chat "$1" "5 + 6" --temperature 0 2>&- <&-; echo $?', "5 + 6 = 11\n0\n", ""),
    ],
)
def test_streams_that_are_closed_full_or_not_read(nano: Path, line: str, out: str, said: str) -> None:
    done = shell(line, nano)
    assert done.stdout == out and done.stderr.startswith(said) and "Traceback" not in done.stderr, done.stderr
    assert said or not done.stderr


def test_what_files_say_of_themselves_does_not_steer_a_terminal(nano: Path, tmp_path: Path) -> None:
    """A manifest that somebody else has written, in a list, in JSON and in an error."""
    model = Path(shutil.copytree(nano, tmp_path / "models" / "odd"))
    own = json.loads((model / "glm4.json").read_text())
    for key, value in {
        "source": "\x1b[2J\nx\x9b31m",
        "recipe": ["\x1b]0;x\x07" * 5000],
        "format_version": 10**3000,
    }.items():
        (model / "glm4.json").write_text(json.dumps(own | {key: value}))
        for command in (["list"], ["list", "--json"], ["verify", "odd"], ["rm", "odd", "--yes"]):
            done = run(*command, GLM4_MODELS=str(tmp_path / "models"))
            said = done.stdout + done.stderr
            assert (
                not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", said) and "Traceback" not in said and len(said) < 4000
            )
        if key != "source":
            assert done.returncode == 1 and said.count("\n") == 2
        shutil.copytree(nano, model, dirs_exist_ok=True)
