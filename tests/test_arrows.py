"""No room imports a room that the design does not let it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = {
    "glm4_intel": ("glm4_intel", set()),
    "glm4_quantize": ("quantize/glm4_quantize", {"glm4_intel"}),
    "glm4_export": ("export/glm4_export", {"glm4_quantize", "glm4_intel"}),
    "glm4_demos": ("demos/glm4_demos", {"glm4_export", "glm4_intel"}),
}


def imported(file: Path) -> set[str]:
    """The top-level names of a file's absolute imports."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    folder, allowed = ROOMS[room]
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    for file in files:
        assert imported(file) & set(ROOMS) <= allowed | {room}, file


def test_inside_glm4_intel_nothing_imports_upwards() -> None:
    floors = ["errors", "folders", "control_groups", "cores", "memory", "huge_pages", "model_directory",
              "messages", "json_grammar", "thinking", "prompt",
              "structured", "tools", "streaming", "generation", "devices", "backends", "fingerprint", "runtime",
              "loading", "measuring", "agent", "commands", "cli"]  # fmt: skip
    for floor, name in enumerate(floors):
        package = ROOT / "glm4_intel" / name
        for file in package.rglob("*.py") if package.is_dir() else [package.with_suffix(".py")]:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.level == (2 if package.is_dir() else 1):
                    below = [node.module.partition(".")[0]] if node.module else [alias.name for alias in node.names]
                    assert all(floors.index(each) <= floor for each in below if each in floors), file
