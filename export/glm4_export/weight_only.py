"""A checkpoint to a model directory of ITREX's weights: `glm4-intel quantize`, from end to end."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from glm4_intel.artifact import write_json, write_manifest
from glm4_intel.errors import Glm4Error
from glm4_quantize.itrex.schemes import Scheme

from .card import write_card
from .estimate import Estimate, layer_weights, require_room_for
from .manifest import manifest_of
from .progress import Progress, interruptibly
from .source import Checkpoint, resolve
from .staging import finish, growing

if TYPE_CHECKING:
    from torch import Tensor

_LIBRARIES = ("intel-extension-for-transformers", "neural-compressor", "torch", "transformers")
_OWN = 1 << 30
"""PyTorch, ITREX and Neural Compressor."""


@dataclass(frozen=True)
class QuantizeOptions:
    """What a quantization does besides its scheme."""

    revision: str | None = None
    """The hub repository's branch, tag or commit."""
    rope_theta: float | None = None
    """The base of the rotary embedding, where the config's own contradicts the original."""
    calibration: Path | None = None
    """Text or JSON lines of messages, for methods that need data; None takes the built-in samples."""
    force: bool = False
    """Replace an `out` that exists, and try where disk or memory look too small."""


def quantize(
    source: str,
    out: Path,
    scheme: Scheme = Scheme(),  # noqa: B008  # frozen
    options: QuantizeOptions = QuantizeOptions(),  # noqa: B008  # frozen
    progress: Progress | None = None,
) -> Path:
    """Quantize a checkpoint's weights with ITREX into a model directory at `out`, and return it.

    The directory grows beside `out`, as an export does. Raises Glm4Error for a checkpoint that is not whole or that
    ITREX's transformers does not know, a scheme that does not fit it, and a disk or memory that is too small.
    """
    from glm4_intel.backends import backend_factory

    backend_factory("itrex")  # says which environment is wanted where it is another
    from glm4_intel.backends.itrex import instruction_sets

    if scheme.method == "autoround" and find_spec("auto_round") is None:
        raise Glm4Error("AutoRound needs the package auto_round", "Run: pip install --no-deps auto-round==0.2")
    progress = progress or Progress()
    if out.exists() and not options.force:
        raise Glm4Error(f"{out} exists", "Choose another folder, or replace it with --force.")
    progress.stage("reading the checkpoint")
    checkpoint = resolve(source, options.revision, options.rope_theta)
    if checkpoint.layout.architecture != "GlmForCausalLM":
        raise Glm4Error(
            f"ITREX's transformers does not know {checkpoint.layout.architecture}", "Use: glm4-intel export"
        )
    scheme.require_fit(checkpoint.config, instruction_sets())
    if not options.force:
        require_room_for(estimate(checkpoint, scheme), out)
    with growing(out) as directory:
        interruptibly(_Quantization(checkpoint, scheme, options, directory, progress).run, progress)
    return out


def estimate(checkpoint: Checkpoint, scheme: Scheme) -> Estimate:
    """What quantizing takes: a layer three times over in f32 beside lm_head, or with data the model twice."""
    config = checkpoint.config
    layer, head = layer_weights(config), config["vocab_size"] * config["hidden_size"]
    bits = scheme.bits(config["hidden_size"])
    output = int(config["num_hidden_layers"] * layer * bits / 8 + head * (2 + 1.25))
    memory = _OWN + 12 * layer + 6 * head
    if scheme.needs_data:
        memory = _OWN + 4 * checkpoint.weight_bytes + 6 * head  # f32 is twice the size of the checkpoint's bf16
    return Estimate(output, memory, checkpoint.weight_bytes + output)


@dataclass
class _Quantization:
    """One quantization on its way."""

    checkpoint: Checkpoint
    scheme: Scheme
    options: QuantizeOptions
    directory: Path
    progress: Progress

    def run(self) -> None:
        """Everything in the model directory, the manifest last."""
        from glm4_intel import fingerprint
        from glm4_quantize.calibration import samples
        from glm4_quantize.itrex.compress import packed_layers, recipe_of

        from .tokenizer import write_texts
        from .weights import load

        prompt = write_texts(self.checkpoint, self.directory)
        model, files = load(self.checkpoint)
        files.close()
        data = samples(prompt, self.options.calibration) if self.scheme.needs_data else []
        parts = len(model.model.layers) + 1
        self.progress.stage(f"quantizing: {self.scheme.method} {self.scheme.weight_dtype}", parts, "layers")
        written: dict[str, str] = {}
        for number, tensors in enumerate(packed_layers(model, self.scheme, data), 1):
            written |= _write(self.directory / f"model-{number:05}-of-{parts:05}.safetensors", tensors)
            self.progress.advance(1)
        self._write_index(written)
        manifest = manifest_of(self.checkpoint, prompt, "itrex", recipe_of(self.scheme), ["CPU"], _LIBRARIES)
        self.progress.stage("taking the fingerprint")
        taken = fingerprint.take(self.directory, manifest).to_dict()
        manifest = replace(manifest, verification={"fingerprint": taken})
        write_card(self.directory, self.checkpoint, manifest)
        self.progress.stage("writing the manifest")
        finish(self.directory)
        write_manifest(self.directory, manifest)

    def _write_index(self, written: Mapping[str, str]) -> None:
        """The shards' index, in Hugging Face's form."""
        from glm4_intel.backends.itrex import INDEX

        size = sum(file.stat().st_size for file in self.directory.glob("*.safetensors"))
        write_json(self.directory / INDEX, {"metadata": {"total_size": size}, "weight_map": dict(written)})


def _write(path: Path, tensors: Mapping[str, "Tensor"]) -> dict[str, str]:
    """Write a shard; the names in it, each with the shard's."""
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, {"format": "pt"})
    return dict.fromkeys(tensors, path.name)
