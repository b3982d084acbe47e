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
_PLAIN = ("float64", "float32", "float16", "bfloat16", "bool", "int64", "I64")
"""Types of tensors that are weights, or that are buffers of whole numbers beside them."""
_METHODS = {"quantize_config.json": "gptq", "quant_config.json": "awq", "hf_quant_config.json": "modelopt"}
"""What the tools of quantization leave beside a config that does not name them: AutoGPTQ, AutoAWQ, ModelOpt."""

_OTHERS = {  # by a file that such a folder has, where it has no weights
    "adapter_config.json": (
        "is an adapter (LoRA) and no whole model",
        "Name its base and merge it there: glm4-intel export BASE OUT --adapter DIR",
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


_UNMERGED = (".lora_", ".base_layer.", "base_model.model.")
"""What names of tensors have in them while an adapter stands beside its base (peft)."""


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
    """Raises Glm4Error for weights with an adapter beside them, or quantized already, whatever the config says.

    A config that a merge left saying so, beside plain weights, is no hindrance.
    """
    adapted = next((name for name in stored if any(mark in name for mark in _UNMERGED)), None)
    if adapted is not None:
        raise Glm4Error(
            f"{path} holds an adapter that is not merged: {adapted}",
            "Merge it into its base first (peft: merge_and_unload), and export that.",
        )
    packed = next((name for name, each in stored.items() if each.type not in _PLAIN), None)
    if packed is None:
        return
    method = _method(path, config)
    raise Glm4Error(
        f"{path} is quantized already{f' ({method})' if method else ''}: {packed} is of the type {stored[packed].type}",
        "Give the checkpoint in bf16 or fp16 that it was made of: the export compresses that itself.",
    )


def _method(path: Path, config: Mapping[str, Any]) -> str | None:
    """What quantized the weights, as the config or a file beside it says."""
    for keyword in ("quantization_config", "compression_config"):
        stated = config.get(keyword)
        method = stated.get("quant_method") if isinstance(stated, Mapping) else stated
        if isinstance(method, str):
            return method
    return next((method for file, method in _METHODS.items() if (path / file).is_file()), None)
