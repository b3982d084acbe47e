"""An adapter's folder, as PEFT writes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import Glm4Error
from ...model_directory.tensor_files import read_arrays
from .lora import read_lora
from .prefix import Prefix, read_prefix
from .settings import Settings
from .values import LowRank

FILES = ("adapter_model.safetensors", "adapter_model.bin")


@dataclass(frozen=True)
class Adapter:
    """What a folder changes of a model: products by low rank, tensors as a whole, or virtual tokens before a prompt."""

    path: Path
    file: Path
    """The tensors'."""
    base: str
    """What it was trained on, as far as it says."""
    products: Mapping[str, LowRank] = field(default_factory=dict)
    """By names such as layers.0.self_attn.q_proj."""
    replaced: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Biases and saved modules, by transformers' names."""
    prefix: Prefix | None = None

    @property
    def kind(self) -> str:
        """In the field's words."""
        if self.prefix:
            return "P-Tuning v2"
        return "DoRA" if any(each.magnitude is not None for each in self.products.values()) else "LoRA"


def read_adapter(folder: str | Path, config: Mapping[str, Any]) -> Adapter:
    """The adapter in a folder that PEFT wrote, for a model of this config (of transformers' own form).

    LoRA in the `glm` or the `chatglm` layout, DoRA, rsLoRA, rank and alpha patterns, and P-Tuning v2. Raises Glm4Error
    for a folder that is none, a file that is cut short, another kind of adapter, and for a tensor that is missing,
    lands nowhere, or is not of this model's shape.
    """
    path = Path(folder).expanduser()
    settings = Settings.read(path)
    file = next((path / name for name in FILES if (path / name).is_file()), None)
    if file is None:
        raise Glm4Error(f"{path} lacks {FILES[0]}", "Copy the adapter again.")
    arrays = read_arrays(file)
    if settings.is_prefix:
        return Adapter(path, file, settings.base, prefix=read_prefix(settings, arrays, config))
    products, replaced = read_lora(settings, arrays, config)
    return Adapter(path, file, settings.base, products, replaced)


def named_adapters(given: Sequence[str]) -> dict[str, Path]:
    """Folders by name, of texts NAME=DIR or DIR, which is called as its folder. Raises Glm4Error for a name twice."""
    named: dict[str, Path] = {}
    for text in given:
        name, equals, folder = text.partition("=")
        path = Path(folder if equals else text)
        name = name if equals else path.resolve().name
        if not name or not str(path).strip():
            raise Glm4Error(f"--adapter {text} names no adapter", "Give NAME=DIR, or a folder.")
        if name in named:
            raise Glm4Error(f"Two adapters are called {name}", "Give each its own name: --adapter NAME=DIR")
        named[name] = path
    return named
