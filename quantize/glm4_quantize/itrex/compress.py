"""A PyTorch model's weights through ITREX's own quantization, one decoder layer after another.

What ITREX 1.4.2 and Neural Compressor 2.6 do not know of GLM is said to them here: where a norm's scale can be moved
into the layers after it, and that its layers want rotary embeddings.
"""

import copy
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from glm4_intel.backends.itrex.format import PACKED, instruction_sets
from glm4_intel.errors import Glm4Error

from .schemes import PER_ROW, WEIGHTS, Scheme

Tensors = dict[str, torch.Tensor]
_PILE = "NeelNanda/pile-10k"
"""The calibration text that Neural Compressor asks AutoRound for, whatever it was given."""
_STEPS = 200
_LONGEST, _SHORTEST = 512, 32


def packed_layers(model: Any, scheme: Scheme, samples: Sequence[Sequence[int]]) -> Iterator[Tensors]:
    """Each decoder layer's tensors by name, its linear weights packed; then the last norm, lm_head and embedding.

    Round-to-nearest takes a layer at a time; what needs data runs the whole model, in f32. Raises Glm4Error for NaN and
    infinity, which would be packed without a word.
    """
    with _quiet():
        calibrated = _calibrated(model, scheme, samples).model.layers if scheme.needs_data else None
        for index, layer in enumerate(model.model.layers):
            prefix = f"model.layers.{index}."
            _require_finite(layer, prefix)
            quantized = calibrated[index] if calibrated else _rounded(layer, scheme)
            yield {prefix + name: tensor for name, tensor in _tensors(quantized, layer).items()}
        for name, module in (("lm_head", model.lm_head), ("model.embed_tokens", model.model.embed_tokens)):
            _require_finite(module, f"{name}.")
        yield {
            "model.norm.weight": model.model.norm.weight.detach(),
            "lm_head" + PACKED: packed(model.lm_head.weight.detach().float(), head_scheme(scheme)),
            "model.embed_tokens.weight": model.model.embed_tokens.weight.detach(),
        }


def head_scheme(scheme: Scheme) -> Scheme:
    """lm_head in eight bits, as the OpenVINO recipes have it; ITREX would leave it in f32, 2.5 GB of the 9B's."""
    return Scheme("rtn", "int8", scheme.group_size, True, scheme.scale_dtype, scheme.compute_dtype)


def recipe_of(scheme: Scheme) -> dict[str, Any]:
    """What the manifest records: the scheme, lm_head's, and which processors the packed form is for."""
    return scheme.to_dict() | {"lm_head": head_scheme(scheme).to_dict(), "packed_for": instruction_sets()}


def _require_finite(module: torch.nn.Module, prefix: str) -> None:
    for name, tensor in module.named_parameters():
        if not all(rows.isfinite().all() for rows in tensor.split(4096)):
            raise Glm4Error(f"{prefix}{name} has NaN or infinity in it", "Fetch the checkpoint again.")


def _rounded(layer: torch.nn.Module, scheme: Scheme) -> torch.nn.Module:
    copied = copy.deepcopy(layer).float()
    if scheme.weight_dtype == "fp4_e2m1":  # ITREX's path for the other types aborts on it; its own packing does not
        return _packed_directly(copied, scheme)
    return _converted(copied, scheme, ())


def _calibrated(model: Any, scheme: Scheme, samples: Sequence[Sequence[int]]) -> Any:
    model = copy.deepcopy(model).float()
    model.config.use_cache = model.config.return_dict = False  # tracing takes neither a cache nor a named tuple
    for layer in model.model.layers:
        layer.forward = _WithPositions(layer.forward, model.model.rotary_emb)
    texts = [torch.tensor([list(ids[:_LONGEST])]) for ids in samples if len(ids) >= _SHORTEST]
    return _converted(model, scheme, texts)


def _converted(module: torch.nn.Module, scheme: Scheme, texts: Sequence[torch.Tensor]) -> Any:
    """ITREX's conversion, in its own words."""
    from intel_extension_for_transformers.transformers.llm.quantization.utils import convert_to_quantized_model

    config = _config(scheme, texts)
    with _knowing_glm(), _texts_for_auto_round(texts if scheme.method == "autoround" else ()):
        return convert_to_quantized_model(module, config)


def _config(scheme: Scheme, texts: Sequence[torch.Tensor]) -> Any:
    from intel_extension_for_transformers import transformers as itrex

    common = {"bits": WEIGHTS[scheme.weight_dtype], "weight_dtype": scheme.weight_dtype,
              "group_size": scheme.group_size, "scale_dtype": scheme.scale_dtype,
              "compute_dtype": scheme.compute_dtype, "use_neural_speed": False}  # fmt: skip
    longest = max((text.shape[1] for text in texts), default=0)
    shortest = min((text.shape[1] for text in texts), default=0)
    if scheme.method == "rtn":
        config = itrex.RtnConfig(**common, sym=scheme.symmetric)
    elif scheme.method == "gptq":
        config = itrex.GPTQConfig(
            **common, sym=scheme.symmetric, dataset=None, nsamples=len(texts), max_input_length=longest
        )
    elif scheme.method == "awq":
        config = itrex.AwqConfig(**common, zero_point=not scheme.symmetric, dataset=None)
        config.calib_func = lambda model: [model(text) for text in texts]
    elif scheme.method == "teq":
        config = itrex.TeqConfig(**common, sym=scheme.symmetric, dataset=None)
    else:
        config = itrex.AutoRoundConfig(
            **common, sym=scheme.symmetric, nsamples=len(texts), calib_len=shortest, iters=_STEPS
        )
    config.calib_dataloader = _Texts(texts, scheme.method) if texts else None
    config.post_init_cpu()
    return config


class _Texts:
    """What Neural Compressor takes for a data loader: TEQ wants tensors, the others named inputs."""

    batch_size = 1

    def __init__(self, texts: Sequence[torch.Tensor], method: str) -> None:
        self._texts, self._named = texts, method != "teq"

    def __iter__(self) -> Iterator[Any]:
        return iter([{"input_ids": text} for text in self._texts] if self._named else self._texts)

    def __len__(self) -> int:
        return len(self._texts)


class _WithPositions:
    """A layer's forward that makes the rotary embeddings where its caller has dropped them."""

    def __init__(self, forward: Any, rotary: Any) -> None:
        self._forward, self._rotary = forward, rotary

    def __call__(self, hidden: torch.Tensor, *args: Any, position_embeddings: Any = None, **named: Any) -> Any:
        if position_embeddings is None:
            position_embeddings = self._rotary(hidden, torch.arange(hidden.shape[1])[None])
        return self._forward(hidden, *args, position_embeddings=position_embeddings, **named)


@contextmanager
def _knowing_glm() -> Iterator[None]:
    """Neural Compressor told which layers take a norm's output: its tracing finds none in GLM."""
    from neural_compressor.adaptor.torch_utils.waq import GraphTrace

    traced = GraphTrace.get_absorb_to_layer
    GraphTrace.get_absorb_to_layer = lambda self, model, *_, **__: (_after_norms(model), [])
    try:
        yield
    finally:
        GraphTrace.get_absorb_to_layer = traced


def _after_norms(model: Any) -> dict[str, list[str]]:
    found = {}
    for index in range(len(model.model.layers)):
        prefix = f"model.layers.{index}."
        found[f"{prefix}input_layernorm"] = [f"{prefix}self_attn.{part}_proj" for part in "qkv"]
        found[f"{prefix}post_attention_layernorm"] = [f"{prefix}mlp.gate_up_proj"]
    return found


@contextmanager
def _texts_for_auto_round(texts: Sequence[torch.Tensor]) -> Iterator[None]:
    if not texts:
        yield
        return
    from auto_round.calib_dataset import CALIB_DATASETS
    from datasets import Dataset

    rows = [text[0].tolist() for text in texts]
    data = Dataset.from_dict({"input_ids": rows, "attention_mask": [[1] * len(row) for row in rows]})
    theirs, CALIB_DATASETS[_PILE] = CALIB_DATASETS[_PILE], lambda *_, **__: data
    try:
        yield
    finally:
        CALIB_DATASETS[_PILE] = theirs


def _packed_directly(module: torch.nn.Module, scheme: Scheme) -> torch.nn.Module:
    for name, child in list(module.named_modules()):
        if isinstance(child, torch.nn.Linear):
            parent, _, own = name.rpartition(".")
            setattr(module.get_submodule(parent), own, _Packed(packed(child.weight.detach(), scheme)))
    return module


class _Packed(torch.nn.Module):
    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(weights, requires_grad=False)


def packed(weight: torch.Tensor, scheme: Scheme) -> torch.Tensor:
    """QBits' own rounding to nearest of a weight [outputs, inputs]."""
    from intel_extension_for_transformers import qbits

    group = weight.shape[1] if scheme.group_size == PER_ROW else scheme.group_size
    weights: torch.Tensor = qbits.quantize_to_packed_weight(
        weight.contiguous(), True, group, scheme.compute_dtype, scheme.weight_dtype, scheme.scale_dtype,
        not scheme.symmetric,
    )  # fmt: skip
    return weights


def _tensors(quantized: torch.nn.Module, original: torch.nn.Module) -> Tensors:
    """A layer's packed weights, its biases as they were, and its norms as they have become."""
    tensors = {}
    for name, module in quantized.named_modules():
        if type(module).__name__ in ("QuantizedLinearQBits", "_Packed"):
            tensors[name + PACKED] = module.weight.data
        elif name.endswith("norm"):
            tensors[f"{name}.weight"] = module.weight.detach()
    biases = {name: tensor.detach() for name, tensor in original.named_parameters() if name.endswith("_proj.bias")}
    return tensors | biases


@contextmanager
def _quiet() -> Iterator[None]:
    """Neural Compressor logs every step and keeps a history of its work in a folder; neither is of use here."""
    from neural_compressor import set_workspace

    logger = logging.getLogger("neural_compressor")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory() as folder:
            set_workspace(folder)
            yield
    finally:
        logger.setLevel(level)
