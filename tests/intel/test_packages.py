"""What is not installed is named in one line, with the command that brings it, whatever the command was."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from glm4_intel.machine.packages import Requirement, pip_command, requirements

_BLOCKER = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""


def without(names: tuple[str, ...], place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in an environment that lacks some modules."""
    (place / "sitecustomize.py").write_text(_BLOCKER.format(names=names))
    path = os.pathsep.join([str(place), *sys.path])
    command = [sys.executable, "-m", "glm4_intel", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, cwd=place, timeout=120
    )


COMMANDS = (["chat", "x"], ["web", "nano"], ["demo"], ["bench", "x"], ["doctor"], 
            ["export", "nano", "out"], ["quantize", "nano", "out"], ["chat", "--help"], ["doctor", "--try", "CPU"],
            ["chat", "nano", "Hello"])  # fmt: skip


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_an_installation_without_its_requirements(tmp_path: Path, arguments: list[str]) -> None:
    missing = ("numpy", "psutil", "openvino", "tokenizers", "torch", "gradio", "rich", "jinja2")
    done = without(missing, tmp_path, *arguments)
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and len(lines) == 2, done.stderr
    assert lines[0].startswith("error: ") and "which is not installed" in lines[0]
    assert lines[1].startswith("hint: Run: pip install ") and done.stdout == ""


@pytest.mark.parametrize(
    ("missing", "arguments", "said"),
    [("torch", ["export", "nano", "out"], '"torch>='), ("gradio", ["web", "nano"], '"gradio>='),
     ("matplotlib", ["bench", "x", "--plot", "x.png"], '"matplotlib"')],
)  # fmt: skip
def test_what_an_extra_brings(tmp_path: Path, missing: str, arguments: list[str], said: str) -> None:
    done = without((missing,), tmp_path, *arguments)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"hint: Run: pip install {said}" in done.stderr


def test_a_package_that_lacks_another_is_one_line(tmp_path: Path) -> None:
    """httpx wants a package of its own for a SOCKS proxy, and says so as an ImportError."""
    command = [sys.executable, "-m", "glm4_intel", "export", "no/such", "out"]
    environment = {**os.environ, "ALL_PROXY": "socks5://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60)
    assert done.returncode == 1 and "Traceback" not in done.stderr and done.stderr.count("\nhint: ") == 1
    assert not list(tmp_path.iterdir())


def test_help_needs_nothing(tmp_path: Path) -> None:
    done = without(("numpy", "psutil", "openvino", "tokenizers"), tmp_path, "--help")
    assert done.returncode == 0 and "doctor" in done.stdout


def test_the_requirements_are_those_of_the_metadata() -> None:
    found = {each.name: each for each in requirements()}
    assert found["openvino"] == Requirement("openvino", "openvino>=2026.4", "")
    assert found["pypdf"].specifier.startswith("pypdf") and found["torch"].extra == "export"
    assert "pytest" not in found and pip_command("unheard_of") == "pip install unheard_of"
