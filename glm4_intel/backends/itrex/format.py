"""A directory of weights packed by ITREX: its files, and transformers' model over them.

Of ITREX only the kernels (QBits) are imported; the packed weights stay in their memory-mapped files, in the form that
the kernels read, so that nothing is repacked.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from intel_extension_for_transformers import qbits
from safetensors import SafetensorError, safe_open
from transformers.models.glm import GlmConfig, GlmForCausalLM
from transformers.models.glm.modeling_glm import GlmRotaryEmbedding

from ...errors import Glm4Error
from ...model_directory import MANIFEST, read_json
from .attention import GroupedAttention

PACKED = ".qbits"
"""Suffix of a packed weight's name in the files, in the place of `.weight`."""
INDEX = "model.safetensors.index.json"
_INSTRUCTION_SETS = ("AVX2", "AVX_VNNI", "AVX512F", "AVX512_VNNI", "AVX512_BF16", "AVX512_FP16", "AMX_BF16", "AMX_INT8")


class PackedLinear(torch.nn.Module):  # type: ignore[misc]
    """A linear layer over a weight in QBits' packed form."""

    def __init__(self, packed: torch.Tensor, bias: torch.Tensor | None, form: Mapping[str, Any]) -> None:
        super().__init__()
        self._packed = packed
        self._bias = torch.empty(0) if bias is None else bias.float()
        self._rows = int(qbits.acquire_packed_weight_info(packed, 3)[0])  # 3: the weight's outputs, ITREX's modules.py
        self._form = (form["compute_dtype"], form["weight_dtype"], form["scale_dtype"], not form["symmetric"])

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        flat = values.reshape(-1, values.shape[-1]).contiguous()
        out = torch.zeros(flat.shape[0], self._rows, dtype=flat.dtype)
        qbits.woq_linear(flat, self._packed, self._bias, out, *self._form)
        return out.view(*values.shape[:-1], self._rows)


class MappedEmbedding(torch.nn.Embedding):  # type: ignore[misc]
    """An embedding that stays in its file, in the checkpoint's own type: only the rows of a prompt are read."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return super().forward(ids).float()


def instruction_sets() -> list[str]:
    """What QBits sees of this processor; its packed weights differ by it."""
    return [name for name in _INSTRUCTION_SETS if qbits.check_isa_supported(name)]


def load_model(directory: Path) -> GlmForCausalLM:
    """The model of a directory over its mapped tensors. Raises Glm4Error for one that this machine can't compute."""
    manifest = directory / MANIFEST
    recipe = read_json(manifest)["recipe"] if manifest.is_file() else {}
    return model_over(read_tensors(directory), read_json(directory / "config.json"), recipe)


def model_over(
    tensors: dict[str, torch.Tensor], config: Mapping[str, Any], recipe: Mapping[str, Any]
) -> GlmForCausalLM:
    """The model over tensors by name: packed weights of the recipe's form, and everything else as it is."""
    require_packed_for_this(recipe)
    with torch.device("meta"):
        model = GlmForCausalLM(GlmConfig(**dict(config), attn_implementation="sdpa"))
        for layer in model.model.layers:
            layer.self_attn = GroupedAttention(model.config, layer.self_attn.layer_idx)
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear):
            form = dict(recipe) | (recipe["lm_head"] if name == "lm_head" else {})
            packed = PackedLinear(tensors[name + PACKED], tensors.get(f"{name}.bias"), form)
            _set(model, name, packed)
        elif isinstance(module, torch.nn.Embedding):
            mapped = MappedEmbedding(*module.weight.shape, device="meta")
            mapped.weight = torch.nn.Parameter(tensors[f"{name}.weight"], requires_grad=False)
            _set(model, name, mapped)
        elif name.endswith("norm"):
            module.weight = torch.nn.Parameter(tensors[f"{name}.weight"].float(), requires_grad=False)
    half = model.config.head_dim // 2  # of each head rotates
    model.model.rotary_emb = GlmRotaryEmbedding(half, model.config.max_position_embeddings, model.config.rope_theta)
    return model.eval()


def require_packed_for_this(recipe: Mapping[str, Any]) -> None:
    """Raises Glm4Error where weights were packed for processors with other instruction sets."""
    theirs, ours = recipe.get("packed_for"), instruction_sets()
    if theirs != ours:
        raise Glm4Error(
            f"These weights were packed for {' '.join(theirs or ['no known processor'])}, and this one has "
            f"{' '.join(ours)}",
            "Quantize the checkpoint again on this machine: glm4-intel quantize SOURCE OUT",
        )


def read_tensors(directory: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a directory, mapped. Raises Glm4Error naming a file that is damaged."""
    tensors: dict[str, torch.Tensor] = {}
    names = read_json(directory / INDEX)["weight_map"]
    for name in sorted(set(names.values())):
        try:
            with safe_open(directory / name, framework="pt") as file:  # type: ignore[no-untyped-call]
                tensors |= {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # it has no __iter__
        except (SafetensorError, OSError) as error:
            raise Glm4Error(f"{directory / name} can't be read: {error}", "Quantize the model again.") from error
    return tensors


def _set(model: torch.nn.Module, name: str, module: torch.nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, module)
