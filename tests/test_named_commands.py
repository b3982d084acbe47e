"""Every `glm4-intel …` that a hint, a document or a model card names is one that the command line takes."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from glm4_intel.cli import COMMANDS, parser_with

ROOT = Path(__file__).parent.parent
SOURCES = [file for room in ("glm4_intel", "export", "demos", "quantize") for file in (ROOT / room).rglob("*.py")]
DOCUMENTS = [ROOT / "README.md", *(ROOT / room / "README.md" for room in ("quantize", "demos/glm4_demos/nano"))]


def named_commands() -> Iterator[tuple[str, str]]:
    """Each command line that is named, and the file that names it."""
    for file in [*SOURCES, *DOCUMENTS]:
        text = file.read_text(encoding="utf-8")
        for line in text.splitlines():
            if file.suffix == ".py" and line.lstrip().startswith(("prog", "description", '"""')):
                continue
            for match in re.finditer(r"(?:^|(?<=[`:\s&]))glm4-intel ([a-z]+)([^`\n]*)", line):
                if match[1] in COMMANDS:
                    yield file.name, _ended(match[1] + match[2], file.suffix)


def _ended(text: str, suffix: str) -> str:
    """The command alone: what follows it in its sentence is cut off, and what is filled in stands for itself."""
    text = re.split(r"  +#|\s#\s", text)[0].replace("…", "").replace("[", "").replace("]", "")
    if suffix == ".py":
        text = re.sub(r"\{[^{}]*\}", "X", text)  # a value of an f-string
        text = re.split(r"\"(?:[,)]|$| if)|'\)|\\n|[.;,)](?:\s|,|$)", text)[0]
        text += '"' * (text.count('"') % 2)
    text = text.strip().rstrip("\\:').")
    return text + "'" * (text.count("'") % 2)


FOUND = sorted(set(named_commands()))


def test_there_are_many() -> None:
    assert len(FOUND) > 30 and {command.split()[0] for _, command in FOUND} >= {
        "export",
        "chat",
        "web",
        "doctor",
        "list",
    }


@pytest.mark.parametrize(("file", "command"), FOUND, ids=[f"{file}: {command}" for file, command in FOUND])
def test_it_is_taken(file: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(command, posix=True)
    if len(words) == 1:
        return  # a command by its name alone
    try:
        parser_with([words[0]]).parse_args(words)
    except SystemExit as ended:
        assert ended.code == 0, capsys.readouterr().err  # --help, --list-recipes
