"""What a folder is that looks like a checkpoint and can't be exported, said by its name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glm4_intel.errors import Glm4Error
from glm4_intel.model_directory import read_json

from .shards import SINGLE, Stored

_READ = (".safetensors", ".bin", ".json", ".jinja", ".model")
_POINTER = b"version https://git-lfs"
"""How a file begins that git-lfs has left in place of a large one (its docs/spec.md)."""
_POINTER_SIZE = 1024
_PLAIN = ("float64", "float32", "float16", "bfloat16", "bool")

_OTHERS = {  # by a file that such a folder has, where it has no weights
    "adapter_config.json": (
        "is an adapter (LoRA) and no whole model",
        "Merge it into its base first (peft: merge_and_unload), with the base's tokenizer files, and export that.",
    ),
    "zero_to_fp32.py": (
        "is DeepSpeed's state of a training and no whole model",
        "Its own zero_to_fp32.py makes weights of it: export those.",
    ),
    "*.gguf": (
        "holds llama.cpp's GGUF",
        "Export the checkpoint that it was made of, in safetensors.",
    ),
}


def require_checkpoint(path: Path) -> None:
    """Raises Glm4Error for a folder of git-lfs pointers, and for one with something else in place of weights."""
    for file in sorted(path.iterdir()):
        if file.suffix in _READ and file.is_file() and _is_pointer(file):
            raise Glm4Error(
                f"{file} is a git-lfs pointer: the file itself was not fetched",
                "Run `git lfs pull` in that folder, or fetch the repository with `hf download`.",
            )
    if any((path / f"{single}{index}").is_file() for single in SINGLE for index in ("", ".index.json")):
        return
    for marker, (said, hint) in _OTHERS.items():
        if any(path.glob(marker)):
            raise Glm4Error(f"{path} {said}{_base_of(path)}", hint)


def _is_pointer(file: Path) -> bool:
    if file.stat().st_size > _POINTER_SIZE:
        return False
    with file.open("rb") as opened:
        return opened.read(len(_POINTER)) == _POINTER


def _base_of(path: Path) -> str:
    config = path / "adapter_config.json"
    base = read_json(config).get("base_model_name_or_path") if config.is_file() else None
    return f"; its base is {base}" if base else ""


def require_plain_weights(path: Path, config: Mapping[str, Any], stored: Mapping[str, Stored]) -> None:
    """Raises Glm4Error for weights that are quantized already, whatever the config says of them.

    A config that a merge left saying so, beside plain weights, is no hindrance.
    """
    packed = next((name for name, each in stored.items() if each.type not in _PLAIN), None)
    if packed is None:
        return
    settings = config.get("quantization_config")
    method = settings.get("quant_method") if isinstance(settings, Mapping) else None
    raise Glm4Error(
        f"{path} is quantized already{f' ({method})' if method else ''}: {packed} is of the type {stored[packed].type}",
        "Give the checkpoint in bf16 or fp16 that it was made of: the export compresses that itself.",
    )
