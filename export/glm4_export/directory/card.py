"""The model card: README.md of a model directory, in the form that the Hugging Face hub reads."""

from pathlib import Path

from glm4_intel.backends import BACKENDS
from glm4_intel.model_directory import Manifest

from ..checkpoint.source import Checkpoint

_LICENSES = {  # of the weights, by what a repository's name ends with: (the hub's word, where it stands)
    "-0414": ("mit", "MIT"),
    "": ("other", "the glm-4 licence (https://huggingface.co/THUDM/glm-4-9b-chat/blob/main/LICENSE)"),
}


def write_card(directory: Path, checkpoint: Checkpoint, manifest: Manifest) -> None:
    """Write README.md: what it is, how it was made and is run, and whose licence holds."""
    name = next((name for name in checkpoint.names if "/" in name and not Path(name).exists()), checkpoint.names[1])
    word, license = next(value for end, value in _LICENSES.items() if name.endswith(end))
    recipe = manifest.recipe
    kind = "answers messages" if manifest.chats else "is a base model: it completes text and knows no turns"
    size = sum(file.stat().st_size for file in directory.iterdir())
    measured = "".join(f"- {key}: {_shown(value)}\n" for key, value in (manifest.verification or {}).items())
    versions = ", ".join(f"{package} {version}" for package, version in manifest.libraries.items())
    base = f"base_model: {name}\n" if "/" in name else ""
    engine = BACKENDS[manifest.backend]
    (directory / "README.md").write_text(
        f"""---
library_name: {engine.library}
pipeline_tag: text-generation
{base}license: {word}
tags: [{", ".join(engine.tags)}, glm, {recipe["mode"]}]
---

# {name.rpartition("/")[2]}, {recipe["mode"]}

{manifest.architecture} as {engine.weights}, {size / 1e9:.2f} GB, made by
glm4-intel from `{checkpoint.source}`{f" at `{checkpoint.revision}`" if checkpoint.revision else ""}. It {kind}.

## How to run it

{engine.running}

Made for: {", ".join(manifest.targets)}.

## How it was made

Recipe `{recipe["name"]}`: {recipe["mode"]}, {_group(recipe["group_size"])}, ratio {recipe["ratio"]}, the rest
{recipe["backup"]}. {recipe["reason"]}
{_merged(manifest)}
Versions: {versions}.

## What was checked

{measured or "- nothing"}
`glm4-intel verify DIR` checks every file's hash and that this engine computes the same.

## Licence

That of the weights it was made from: {license}.
""",
        encoding="utf-8",
    )


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
