"""The user's own defaults, and the completion of the command line."""

import subprocess
import sys
from pathlib import Path

import pytest

from glm4_intel.cli import COMMANDS, main, parser_with


def written(text: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = place / "config.toml"
    file.write_text(text, encoding="utf-8")
    monkeypatch.setenv("GLM4_CONFIG", str(file))
    return file


def test_defaults_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(
        "[chat]\nprofile = 'plain'\ntemperature = 0\nno-warmup = true\n"
        "property = ['KV_CACHE_PRECISION=u8']\n[web]\nport = 8000\nhost = '::1'\n",
        tmp_path,
        monkeypatch,
    )
    args = parser_with(["chat"]).parse_args(["chat", "nano", "--top-k", "3"])
    assert (args.profile, args.temperature, args.warmup, args.top_k) == ("plain", 0.0, False, 3)
    assert args.property == ["KV_CACHE_PRECISION=u8"]
    assert parser_with(["chat"]).parse_args(["chat", "nano", "--profile", "chat"]).profile == "chat"
    args = parser_with(["web"]).parse_args(["web"])
    assert (args.port, args.host, args.profile) == (8000, "::1", "chat")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[chat]\nprofil = 'plain'", "[chat] profil is no option of chat"),
        ("[chet]\nprofile = 'plain'", "chet is no command"),
        ("profile = 'plain'", "profile is no command"),
        ("chat = 3", "chat is no table"),
        ("[chat", "can't be read"),
        ("[chat]\nprompt-lookup = 'yes'", "[chat] prompt-lookup is 'yes'"),
        ("[chat]\nmax-new-tokens = 'many'", "[chat] max-new-tokens is 'many'"),
        ("[chat]\nmax-new-tokens = true", "[chat] max-new-tokens is True"),
        ("[chat]\nhistory = 'forget'", "[chat] history is 'forget'"),
    ],
)
def test_what_can_not_be_is_named_with_its_file(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(text, tmp_path, monkeypatch)
    assert main(["chat", "nano", "Hello"]) == 1
    error, hint, *rest = capsys.readouterr().err.splitlines()
    assert error.startswith(f"error: {file}") and said in error and hint.startswith("hint: ") and not rest


def test_the_parser_of_everything_is_whole() -> None:
    with pytest.raises(SystemExit):
        parser_with(COMMANDS).parse_args(["fly"])
    assert parser_with(COMMANDS).parse_args(["rm", "glm4", "--yes"]).name == "glm4"


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX")
def test_the_shell_completes_commands_options_and_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab", reason="pip install -r requirements.txt")
    assert main(["completion", "zsh"]) == 0 and "_glm4_models" in capsys.readouterr().out
    assert main(["completion", "bash"]) == 0
    (tmp_path / "complete.bash").write_text(capsys.readouterr().out)
    (tmp_path / "glm4-intel").write_text(f'#!/bin/sh\nexec {sys.executable} -m glm4_intel "$@"\n')
    (tmp_path / "glm4-intel").chmod(0o755)
    script = """
        source ./complete.bash; PATH=$PWD:$PATH
        ask() {
            COMP_WORDS=(glm4-intel "$@"); COMP_CWORD=$#; COMPREPLY=()
            _shtab_glm4_intel; echo "${COMPREPLY[@]}"
        }
        ask do; ask chat --prof; ask chat na; ask bench --compare-w"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.stdout.splitlines() == ["doctor", "--profile", "nano", "--compare-with"], done.stderr
