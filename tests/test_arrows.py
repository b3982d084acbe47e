"""No room imports a room that the design does not let it, and no floor of `glm4_intel` one above it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = {  # room: (its folder, the rooms that it may import)
    "glm4_intel": (".", set()),
    "glm4_quantize": ("quantize", {"glm4_intel"}),
    "glm4_export": ("export", {"glm4_quantize", "glm4_intel"}),
    "glm4_demos": ("demos", {"glm4_export", "glm4_intel"}),
}
FLOORS = (  # of glm4_intel, from the bottom up: a module may import what is on its own floor or below
    ("errors",),
    ("machine",),
    ("model_directory",),
    ("devices",),
    ("chat.template_sandbox", "chat.template_work"),
    ("chat.tools", "chat.messages", "chat.segments", "chat.events", "chat.json_grammar", "chat.template"),
    ("chat.thinking", "chat.text_stream", "chat.tool_calls", "chat.guided", "chat.parts"),
    ("chat.reply", "chat.guide", "chat.generation"),
    ("chat.conversation",),
    ("chat.tokenizer",),
    ("chat.history",),
    ("fingerprint",),
    ("backends.options",),
    ("backends.base",),
    ("backends.turns", "backends.sampling", "backends.openvino_ir", "backends.standing_in", "backends.adapters"),
    ("backends.one_way",),
    ("backends.genai", "backends.optimum", "backends.itrex"),
    ("backends",),
    ("tools", "prompt"),
    ("replies",),
    ("runtime",),
    ("loading",),
    ("agent",),
    ("serving",),
    ("commands",),
    ("cli",),
    ("commands.completion",),
    ("__main__",),
)
PACKAGES_ALONE = {"glm4_intel", "glm4_intel.chat"}
"""Modules that hold nothing but a docstring and names that are imported when they are asked for."""


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Every module of every room, by its full name."""
    found = {}
    for room, (folder, _) in ROOMS.items():
        for file in (root / folder / room).rglob("*.py"):
            parts = file.relative_to(root / folder).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports(module: str, file: Path, known: set[str]) -> Iterator[str]:
    """The modules of the rooms that a module imports: absolute or relative, at its head or inside a function."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *([node.module] if node.module else [])])
            named = [f"{base}.{alias.name}" for alias in node.names]
            if base.partition(".")[0] in ROOMS:
                yield from (name if name in known else base for name in named)


def floor_of(module: str) -> int:
    """The floor of a module of glm4_intel: that of the longest name which it is or lies in."""
    inside = module.removeprefix("glm4_intel.")
    named = {name: floor for floor, names in enumerate(FLOORS) for name in names}
    while inside and inside not in named:
        inside = inside.rpartition(".")[0]
    if not inside:
        raise AssertionError(f"{module} is on no floor")
    return named[inside]


def faults(root: Path = ROOT) -> list[str]:
    """What is imported that may not be."""
    found, known = [], modules(root)
    for module, file in known.items():
        room = module.partition(".")[0]
        for target in imports(module, file, set(known)):
            other = target.partition(".")[0]
            if other != room and other not in ROOMS[room][1]:
                found.append(f"{module} imports {target}: another room")
            elif other == room == "glm4_intel" and module not in PACKAGES_ALONE and target not in PACKAGES_ALONE:
                own = target.startswith(f"{module}.")
                if floor_of(target) > floor_of(module) and not own:
                    found.append(f"{module} imports {target}: upwards")
    return found


def test_nothing_is_imported_that_may_not_be() -> None:
    assert faults() == []


def test_every_module_is_on_one_floor() -> None:
    names = [name for names in FLOORS for name in names]
    assert len(names) == len(set(names))
    known = {module for module in modules() if module.startswith("glm4_intel.")}
    for module in known - PACKAGES_ALONE:
        floor_of(module)
    for name in names:
        assert f"glm4_intel.{name}" in known, f"there is no module {name}"


@pytest.mark.parametrize(
    ("module", "planted"),
    [
        ("glm4_intel/errors.py", "from .runtime import Runtime"),
        ("glm4_intel/errors.py", "from glm4_intel.runtime import Runtime"),
        ("glm4_intel/errors.py", "import glm4_intel.loading"),
        ("glm4_intel/errors.py", "from . import loading"),
        ("glm4_intel/machine/cores.py", "from ..loading import load"),
        ("glm4_intel/machine/cores.py", "def f():\n    from ..devices.choice import choose"),
        ("glm4_intel/chat/events.py", "from .reply import ReplyStream"),
        ("glm4_intel/backends/genai/config.py", "from ...runtime import Runtime"),
        ("glm4_intel/backends/base.py", "from .genai import plan"),
        ("glm4_intel/runtime.py", "from glm4_export.making import make"),
        ("quantize/glm4_quantize/recipes.py", "import glm4_export.making"),
        ("quantize/glm4_quantize/recipes.py", "from glm4_demos.nano import CHECKPOINT"),
        ("export/glm4_export/making.py", "from glm4_demos import demo"),
        ("glm4_intel/stray.py", "x = 1"),
    ],
)
def test_a_planted_violation_is_seen(module: str, planted: str, tmp_path: Path) -> None:
    for file in modules().values():
        copy = tmp_path / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / module).write_text(planted + "\n", encoding="utf-8")
    if module.endswith("stray.py"):
        with pytest.raises(AssertionError, match="is on no floor"):
            floor_of("glm4_intel.stray")
    else:
        assert faults(tmp_path)
