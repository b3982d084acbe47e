"""Names instead of paths: the models folder, nano everywhere, and what is exported after asking."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from glm4_demos.nano import CHECKPOINT
from glm4_intel import Glm4Error, model_directory
from glm4_intel.cli import main
from glm4_intel.commands.model_names import find, is_hub_id, name_of, nano_folder, place_for, remove

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX pseudo-terminals")


@pytest.fixture
def folder(nano: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models folder with one model, `glm4`."""
    monkeypatch.setenv("GLM4_MODELS", str(tmp_path / "models"))
    shutil.copytree(nano, tmp_path / "models" / "glm4")
    return tmp_path / "models"


def test_names_stand_for_folders(folder: Path, nano: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find("glm4") == folder / "glm4" and find(str(nano)) == nano and find("none") is None
    assert find("nano") == nano_folder() and find("../models") is None
    assert name_of(folder / "glm4") == "glm4" and name_of(nano_folder()) == "nano" and name_of(nano) == str(nano)
    monkeypatch.chdir(folder.parent)
    (folder.parent / "glm4").mkdir()
    assert find("glm4") == folder / "glm4"
    shutil.copytree(nano, folder.parent / "glm4", dirs_exist_ok=True)
    assert find("glm4") == Path("glm4")


def test_every_command_takes_a_name(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "glm4", "5 + 6", "--temperature", "0"]) == 0
    assert main(["verify", "glm4"]) == 0
    assert main(["doctor", "glm4"]) == 0
    assert main(["bench", "glm4", "--prompt-lengths", "8", "--new-tokens", "2", "--runs", "1"]) == 0
    printed = capfd.readouterr().out
    assert printed.startswith("5 + 6 = 11\n") and "is whole" in printed and "glm4 chat" in printed


def test_nano_is_a_name_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                   capfd: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.setenv("GLM4_CACHE", str(tmp_path))
    assert main(["chat", "nano", "What is 17 + 25?", "--temperature", "0"]) == 0
    assert capfd.readouterr().out == "17 + 25 = 42\n"
    assert main(["verify", "nano"]) == 0
    assert main(["list", "--names"]) == 0
    assert "nano\n" in capfd.readouterr().out
    assert main(["rm", "nano", "--yes"]) == 0
    assert not list(tmp_path.iterdir())


def test_list_shows_what_there_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "notes").mkdir()
    (folder / "broken").mkdir()
    (folder / "broken" / "glm4.json").write_text("{")
    assert main(["list"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert any("glm4" in row and "0.01 GB" in row and "nano" in row for row in rows)
    assert main(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {model["name"] for model in listed["models"]} == {"nano", "glm4"} and listed["folder"] == str(folder)


def test_rm_removes_the_models_own_files_alone(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rm", "glm4"]) == 1  # nobody is there to be asked
    assert "Nobody is there to ask" in capsys.readouterr().err and (folder / "glm4" / "glm4.json").is_file()
    (folder / "glm4" / "mine.txt").write_text("keep me")
    assert main(["rm", "glm4", "--yes"]) == 0
    assert "mine.txt" in capsys.readouterr().err
    assert [file.name for file in (folder / "glm4").iterdir()] == ["mine.txt"]
    assert main(["rm", "glm4", "--yes"]) == 1 and main(["rm", str(tmp_path), "--yes"]) == 1
    assert main(["rm", "none", "--yes"]) == 1 and (folder / "glm4" / "mine.txt").is_file()


def test_rm_follows_no_links(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x.txt").write_text("keep me")
    (folder / "link").symlink_to(folder / "glm4")
    with pytest.raises(Glm4Error, match="nothing else is removed"):
        remove(folder / "link")
    (folder / "glm4" / "sub").symlink_to(elsewhere)
    manifest = json.loads((folder / "glm4" / "glm4.json").read_text())
    manifest["files"]["sub/x.txt"] = {"size": 7, "sha256": "0"}
    (folder / "glm4" / "glm4.json").write_text(json.dumps(manifest))
    remove(folder / "glm4")
    assert (elsewhere / "x.txt").is_file()


def test_a_damaged_model_can_be_removed(folder: Path) -> None:
    (folder / "glm4" / "openvino_model.bin").unlink()
    assert remove(folder / "glm4") == [] and not (folder / "glm4").exists()


def test_an_export_has_its_place_by_its_source(folder: Path) -> None:
    assert place_for("THUDM/glm-4-9b-chat", "cpu") == folder / "glm-4-9b-chat"
    assert place_for("THUDM/glm-4-9b-chat", "npu") == folder / "glm-4-9b-chat-npu"
    assert place_for("nano", "cpu") == folder / "nano"
    assert place_for("someone/glm4", "cpu") == folder / "glm4-2"


@pytest.mark.enable_socket  # web looks at its port first
@pytest.mark.parametrize("command", ["chat", "web", "bench"])
def test_what_is_not_exported_is_told_with_the_command(
    command: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "THUDM/glm-4-9b-chat"]) == 1
    said = capsys.readouterr().err
    assert f"hint: Export it first: glm4-intel export THUDM/glm-4-9b-chat {folder / 'glm-4-9b-chat'}" in said
    shutil.copytree(CHECKPOINT, tmp_path / "my checkpoint")
    assert main([command, str(tmp_path / "my checkpoint")]) == 1
    assert "glm4-intel export '" in capsys.readouterr().err


@posix
@pytest.mark.parametrize(("answer", "made"), [("n\n", False), ("y\n", True)])
def test_a_checkpoint_is_exported_after_asking(answer: str, made: bool, tmp_path: Path) -> None:
    import pty

    shutil.copytree(CHECKPOINT, tmp_path / "own")
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "glm4_intel", "chat", str(tmp_path / "own"), "5 + 6", "--temperature", "0"]
    environment = {**os.environ, "GLM4_MODELS": str(tmp_path / "models")}
    process = subprocess.Popen(
        command, stdin=follower, stderr=follower, stdout=subprocess.PIPE, text=True, env=environment
    )
    os.close(follower)
    os.write(leader, answer.encode())
    said = b""
    while True:
        try:
            said += (block := os.read(leader, 4096))
        except OSError:  # the last of the followers is closed
            break
        if not block:
            break
    assert process.stdout is not None
    assert process.wait(60) == (0 if made else 1) and (process.stdout.read() == "5 + 6 = 11\n") is made
    assert b"Export it now? [y/N]" in said and b"for the model directory" in said and b"Traceback" not in said
    assert (tmp_path / "models" / "own").is_dir() is made
    if made:
        assert model_directory.read(tmp_path / "models" / "own").manifest


@pytest.mark.parametrize(
    ("text", "whether"),
    [("THUDM/glm-4-9b-chat", True), ("zai-org/GLM-4-9B-0414", True), ("a/b", True), ("../nano", False),
     ("./nano", False), ("nano", False), ("a/b/c", False), ("a/.b", False), ("a/b.", False), ("a/b..c", False),
     ("a/b--c", False), ("a/b.git", False), ("ä/glm", False), ("a/b\n", False), ("a/" + "b" * 97, False)],
)  # fmt: skip
def test_a_name_on_the_hub(text: str, whether: bool) -> None:
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    assert is_hub_id(text) == whether
    if whether:
        validate_repo_id(text)
    elif "/" in text and text not in ("ä/glm", "a/b\n"):  # which the hub has none of, though its client takes them
        with pytest.raises(HFValidationError):
            validate_repo_id(text)
