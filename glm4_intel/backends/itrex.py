"""Weights packed by ITREX (intel-extension-for-transformers), computed by its QBits kernels under transformers.

It runs in an environment of its own, without OpenVINO: quantize/README.md. Of ITREX only the kernels are imported; the
packed weights stay in their memory-mapped files, in the form that the kernels read, so that nothing is repacked.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from intel_extension_for_transformers import qbits
from safetensors import SafetensorError, safe_open
from transformers.models.glm import GlmConfig, GlmForCausalLM
from transformers.models.glm.modeling_glm import GlmRotaryEmbedding

from ..artifact import MANIFEST, read_json
from ..cores import usable_cores
from ..errors import Glm4Error
from ..generation import GenerationParams
from .base import EngineOptions
from .grouped_attention import GroupedAttention, GrowingCache
from .sampling import refuse_unsampled, sample

PACKED = ".qbits"
"""Suffix of a packed weight's name in the files, in the place of `.weight`."""
INDEX = "model.safetensors.index.json"
_INSTRUCTION_SETS = ("AVX2", "AVX_VNNI", "AVX512F", "AVX512_VNNI", "AVX512_BF16", "AVX512_FP16", "AMX_BF16", "AMX_INT8")
_PREFILL = 512
"""Prompt tokens computed at once, for which attention takes memory."""
_LOOK_UP = 0.05


def _prepare_thread() -> None:
    """OpenMP workers take over what is set here, since this thread starts them.

    QBits' AMX kernels compute 16 rows where there is one token, and find whatever memory holds in the others' place:
    denormal numbers there, unless they count as zero, take them many times as long.
    """
    torch.set_flush_denormal(True)
    torch.set_num_threads(usable_cores())


THREAD = ThreadPoolExecutor(1, "itrex", _prepare_thread)
"""Where everything is computed: each thread that computes gets OpenMP workers of its own, and once there are more of
them than cores they all go to sleep between one operation and the next."""


def create(directory: Path, device: str, properties: Mapping[str, Any], options: EngineOptions) -> "ITREXBackend":
    """Map the weights and build the model over them. Raises Glm4Error where they were packed for other processors."""
    options.require_none_but("The backend itrex", "context")
    return ITREXBackend(load_model(directory))


class ITREXBackend:
    """One model and the KV cache of its last conversation; streams take turns."""

    prompt_limit: int | None = None

    def __init__(self, model: GlmForCausalLM) -> None:
        self._model = model
        self._busy = threading.Lock()
        self._read_ids: list[int] = []
        self._cache = GrowingCache()
        self._unwanted: Callable[[], bool] = _never
        for layer in model.model.layers:
            layer.register_forward_pre_hook(self._look_up)

    def stream(self, ids: Sequence[int], params: GenerationParams, cancelled: Callable[[], bool]) -> Iterator[int]:
        """See Backend.stream. What the last conversation has in common with this one is not computed again."""
        refuse_unsampled("itrex", params)
        while not self._busy.acquire(timeout=_LOOK_UP):
            if cancelled():
                return
        left = threading.Event()
        self._unwanted = lambda: left.is_set() or cancelled()
        reply = self._reply(ids, params)
        step: Future[int | None] | None = None
        try:
            while (id := (step := THREAD.submit(next, reply, None)).result()) is not None:
                yield id
        finally:
            left.set()  # by Ctrl-C in the middle of a step, which ends before its next layer
            wait([step] if step else [])
            self._unwanted = _never
            self._busy.release()

    def _reply(self, ids: Sequence[int], params: GenerationParams) -> Iterator[int]:
        same = takewhile(lambda pair: pair[0] == pair[1], zip(self._read_ids, ids[:-1], strict=False))
        known = sum(1 for _ in same)
        self._cache.crop(known)
        del self._read_ids[known:]
        yield from sample(self._read, ids, params, self._unwanted, known)

    def _read(self, feed: Sequence[int]) -> torch.Tensor | None:
        """Compute the ids, a piece at a time; the logits [vocabulary] after the last, None if they are not wanted."""
        logits = None
        for start in range(0, len(feed), _PREFILL):
            piece = list(feed[start : start + _PREFILL])
            try:
                logits = compute(self._model, piece, self._cache)
            except _UnwantedError:  # some layers have the piece in their cache, which the next reply cuts off
                return None
            self._read_ids += piece
        return logits

    def _look_up(self, *_: Any) -> None:
        """Before each layer."""
        if self._unwanted():
            raise _UnwantedError


def _never() -> bool:
    return False


class _UnwantedError(Exception):
    """The reply that is being computed is not wanted any more."""


def compute(model: GlmForCausalLM, ids: Sequence[int], cache: GrowingCache | None = None) -> torch.Tensor:
    """The logits [vocabulary], float32, after the last of the ids, which are added to the cache."""
    with torch.inference_mode():
        output = model(
            torch.tensor([list(ids)]), past_key_values=cache, use_cache=cache is not None, num_logits_to_keep=1
        )
    logits: torch.Tensor = output.logits[0, -1].float()
    return logits


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


def engine() -> str:
    """The engine and its version, for fingerprints."""
    return f"intel-extension-for-transformers {version('intel-extension-for-transformers')}"


def _set(model: torch.nn.Module, name: str, module: torch.nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, module)
