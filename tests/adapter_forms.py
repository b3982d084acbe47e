"""Adapters of random numbers, written as PEFT writes them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from forms import read_config
from glm4_demos.nano import CHECKPOINT
from glm4_intel.backends.adapters.products import modules

CONFIG = read_config(CHECKPOINT)
QKV = ("q_proj", "k_proj", "v_proj")
LAYER = (*QKV, "o_proj", "gate_up_proj", "down_proj")
CHATGLM = ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")


def lora_folder(
    folder: Path, targets: Sequence[str] = QKV, rank: int = 4, alpha: int = 16, seed: int = 0, size: float = 0.08,
    config: Mapping[str, Any] = CONFIG, chatglm: bool = False, **settings: Any,
) -> Path:  # fmt: skip
    """A LoRA of normal numbers of a given size on the modules named, in every layer."""
    draw = np.random.default_rng(seed)
    tensors = {}
    for name, module in modules(config, chatglm).items():
        if name.rpartition(".")[2] in targets:
            own = settings.get("rank_pattern", {}).get(name.rpartition(".")[2], rank)
            shapes = {"lora_A": (own, module.columns), "lora_B": (module.rows, own)}
            tensors |= {
                f"base_model.model.{name}.{kind}.weight": draw.normal(0, size, shape).astype(np.float32)
                for kind, shape in shapes.items()
            }
    stated = {"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "target_modules": list(targets), **settings}
    return write_folder(folder, stated, tensors)


def prefix_folder(folder: Path, tokens: int = 24, seed: int = 0, base: str = "nano") -> Path:
    """P-Tuning v2's virtual tokens, of normal numbers."""
    width = CONFIG["num_hidden_layers"] * 2 * CONFIG["num_key_value_heads"] * CONFIG["head_dim"]
    table = np.random.default_rng(seed).normal(0, 0.6, (tokens, width)).astype(np.float32)
    stated = {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": tokens, "base_model_name_or_path": base}
    return write_folder(folder, stated, {"prompt_embeddings": table})


def write_folder(folder: Path, settings: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    save_file(dict(tensors), folder / "adapter_model.safetensors")
    return folder


def change_adapter(folder: Path, change: Any) -> None:
    """Rewrite the tensors with what `change` does to them."""
    tensors = load_file(folder / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, folder / "adapter_model.safetensors")


def change_settings(folder: Path, **changes: Any) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
