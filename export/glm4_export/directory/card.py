"""The model card: README.md of a model directory, in the form that the Hugging Face hub reads."""

from pathlib import Path
from typing import Any

from glm4_intel.backends import BACKENDS
from glm4_intel.model_directory import Manifest

from ..checkpoint.source import Checkpoint

_LICENSES = {  # of the weights, by what a repository's name ends with: (the hub's word, where it stands)
    "-0414": ("mit", "MIT"),
    "": ("other", "the glm-4 licence (https://huggingface.co/THUDM/glm-4-9b-chat/blob/main/LICENSE)"),
}


_CARD = """---
library_name: {engine.library}
pipeline_tag: text-generation
{base}license: {license[0]}
tags: [{tags}, glm, {recipe[mode]}]
---

# {title}, {recipe[mode]}

{manifest.architecture} as {engine.weights}, {size:.2f} GB, made by
glm4-intel from {source}. It {kind}.

## How to run it

{engine.running}

Made for: {targets}.

## How it was made

Recipe `{recipe[name]}`: {recipe[mode]}, {group}, ratio {recipe[ratio]}, the rest
{recipe[backup]}. {recipe[reason]}
{merged}
Versions: {versions}.

## What was checked

{measured}
`glm4-intel verify DIR` checks every file's hash and that this engine computes the same.

## Licence

That of the weights it was made from: {license[1]}.
"""


def write_card(directory: Path, checkpoint: Checkpoint, manifest: Manifest) -> None:
    """Write README.md: what it is, how it was made and is run, and whose licence holds."""
    name = next((name for name in checkpoint.names if "/" in name and not Path(name).exists()), checkpoint.names[1])
    size = sum(file.stat().st_size for file in directory.iterdir()) / 1e9
    text = _CARD.format(
        **_origin(name, checkpoint), **_making(manifest), manifest=manifest, recipe=manifest.recipe, size=size
    )
    (directory / "README.md").write_text(text, encoding="utf-8")


def _origin(name: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """What the card says of the checkpoint, known as `name`."""
    return {
        "title": name.rpartition("/")[2],
        "base": f"base_model: {name}\n" if "/" in name else "",
        "license": next(value for end, value in _LICENSES.items() if name.endswith(end)),
        "source": f"`{checkpoint.source}`" + (f" at `{checkpoint.revision}`" if checkpoint.revision else ""),
    }


def _making(manifest: Manifest) -> dict[str, Any]:
    """What it says of the directory's own."""
    engine = BACKENDS[manifest.backend]
    measured = "".join(f"- {key}: {_shown(value)}\n" for key, value in (manifest.verification or {}).items())
    return {
        "engine": engine,
        "tags": ", ".join(engine.tags),
        "kind": "answers messages" if manifest.chats else "is a base model: it completes text and knows no turns",
        "targets": ", ".join(manifest.targets),
        "group": _group(manifest.recipe["group_size"]),
        "merged": _merged(manifest),
        "versions": ", ".join(f"{package} {version}" for package, version in manifest.libraries.items()),
        "measured": measured or "- nothing",
    }


def _merged(manifest: Manifest) -> str:
    """The adapters that were merged, a line each."""
    if not manifest.adapters:
        return ""
    lines = ["", "Adapters merged into the weights, in this order:", ""]
    for each in manifest.adapters:
        base = f" of {each['base']}" if each["base"] else ""
        lines.append(f"- `{each['name']}` ({each['kind']}{base}), times {each['scale']:g}")
    return "\n".join([*lines, ""])


def _group(size: int) -> str:
    return "one scale a row" if size == -1 else f"groups of {size}"


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items() if not isinstance(item, list))
    return str(value)
