"""The weights of a model directory packed for ITREX's kernels and this processor."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glm4_intel.backends import engine
from glm4_intel.chat.tokenizer import ChatTokenizer
from glm4_intel.devices import footprint
from glm4_intel.errors import Glm4Error
from glm4_intel.model_directory import write_json
from glm4_quantize.itrex.schemes import Scheme

from ..checkpoint.source import Checkpoint
from ..estimate import Estimate
from ..making import Work

if TYPE_CHECKING:
    from torch import Tensor

_OWN = 1 << 30
"""PyTorch, ITREX and Neural Compressor."""


@dataclass(frozen=True, kw_only=True)
class ITREXMaker:
    """Quantizes and packs weights by a scheme; see `making.Maker`."""

    scheme: Scheme = Scheme()
    calibration: Path | None = None
    """Text or JSON lines of messages, for methods that need data; None takes the built-in samples."""

    backend = "itrex"
    libraries = ("intel-extension-for-transformers", "neural-compressor", "torch", "transformers")
    targets = ("CPU",)

    def record(self) -> dict[str, Any]:
        from glm4_quantize.itrex.compress import recipe_of

        return recipe_of(self.scheme)

    def require_fit(self, checkpoint: Checkpoint) -> None:
        """Raises Glm4Error where ITREX is not there, does not know the model, or has no such kernel."""
        engine(self.backend)  # says which environment is wanted where it is another
        from glm4_intel.backends.itrex.format import instruction_sets

        if self.scheme.method == "autoround" and find_spec("auto_round") is None:
            raise Glm4Error("AutoRound needs the package auto_round", "Run: pip install --no-deps auto-round==0.2")
        if checkpoint.layout.architecture != "GlmForCausalLM":
            raise Glm4Error(
                f"ITREX's transformers does not know {checkpoint.layout.architecture}", "Use: glm4-intel export"
            )
        self.scheme.require_fit(checkpoint.config, instruction_sets())

    def require_texts(self, tokenizer: ChatTokenizer) -> None:
        self._calibration(tokenizer)

    def _calibration(self, tokenizer: ChatTokenizer) -> list[list[int]]:
        from glm4_quantize.calibration import samples

        return samples(tokenizer, self.calibration) if self.scheme.needs_data else []

    def estimate(self, checkpoint: Checkpoint) -> Estimate:
        """A layer three times over in f32 beside lm_head, or with data the model twice."""
        config = checkpoint.config
        layer, head = footprint.layer_weights(config), config["vocab_size"] * config["hidden_size"]
        bits = self.scheme.bits(config["hidden_size"])
        output = int(config["num_hidden_layers"] * layer * bits / 8 + head * (2 + 1.25))
        memory = _OWN + 12 * layer + 6 * head
        if self.scheme.needs_data:
            memory = _OWN + 4 * checkpoint.weight_bytes + 6 * head  # f32 is twice the size of the checkpoint's bf16
        return Estimate(output, memory, checkpoint.weight_bytes + output)

    def make(self, work: Work) -> dict[str, Any]:
        from glm4_quantize.itrex.compress import packed_layers

        model, files = work.load()
        files.close()
        data = self._calibration(work.tokenizer)
        parts = len(model.model.layers) + 1
        work.progress.stage(f"quantizing: {self.scheme.method} {self.scheme.weight_dtype}", parts, "layers")
        written: dict[str, str] = {}
        for number, tensors in enumerate(packed_layers(model, self.scheme, data), 1):
            written |= _write(work.directory / f"model-{number:05}-of-{parts:05}.safetensors", tensors)
            work.progress.advance(1)
        _write_index(work.directory, written)
        return {}


def _write_index(directory: Path, written: Mapping[str, str]) -> None:
    """The shards' index, in Hugging Face's form."""
    from glm4_intel.backends.itrex.format import INDEX

    size = sum(file.stat().st_size for file in directory.glob("*.safetensors"))
    write_json(directory / INDEX, {"metadata": {"total_size": size}, "weight_map": dict(written)})


def _write(path: Path, tensors: Mapping[str, "Tensor"]) -> dict[str, str]:
    """Write a shard; the names in it, each with the shard's."""
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, {"format": "pt"})
    return dict.fromkeys(tensors, path.name)
