"""Weights packed by ITREX (intel-extension-for-transformers), computed by its QBits kernels under transformers.

It runs in an environment of its own, without OpenVINO: quantize/README.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from transformers.models.glm import GlmForCausalLM

from ...devices import Footprint, Machine, footprint, processor_device
from ...errors import Glm4Error
from ...fingerprint import Fingerprint, fixed_ids
from ...machine.cores import usable_cores
from ...model_directory import ModelDirectory, read_json
from ..base import Plan
from ..options import LoadOptions
from ..sampling import refuse_unsampled, sample
from ..turns import EngineThread, Writing, one_after_another
from .attention import GrowingCache
from .format import load_model, model_over, read_tensors, require_packed_for_this

NAME = "itrex"
_PREFILL = 512
"""Prompt tokens computed at once, for which attention takes memory."""
_CACHE_GROWTH = 1.25
"""Room that a grown cache has, as a multiple of what it holds: see GrowingCache."""


def plan(directory: ModelDirectory, options: LoadOptions, machine: Machine) -> Plan:
    """See `base.Engine`. It has neither devices nor properties nor profiles, and its weights are its own."""
    if directory.backend != NAME:
        hint = "Make one: glm4-intel quantize SOURCE OUT"
        raise Glm4Error(f"{directory.path} is a model directory for another backend than {NAME}", hint)
    _require_plain(options)
    require_packed_for_this(directory.manifest.recipe if directory.manifest else {})
    bare = Footprint(weights=footprint.weights_bytes(directory.path))
    token = int(_CACHE_GROWTH * footprint.kv_token_bytes(directory.config, "f32"))
    room = None if options.ignore_limits else machine.free_memory
    context = footprint.context_that_fits(directory, options.engine.context, bare, token, room, "CPU")
    return Plan(
        directory=directory.path, device=processor_device(), context=context, cached_tokens=context,
        footprint=replace(bare, cache=context * token), engine=replace(options.engine, context=context),
        reason="what its weights were packed for" if options.device.upper() == "AUTO" else "",
    )  # fmt: skip


def _require_plain(options: LoadOptions) -> None:
    options.engine.require_none_but(f"The backend {NAME}", "context")
    options.require_no_adapters(f"The backend {NAME}")
    for name, given, none in (("device", options.device.upper(), ("AUTO", "CPU")),
                              ("profile", options.profile, ("chat",)),
                              ("property", next(iter(options.properties), ""), ("",))):  # fmt: skip
        if given not in none:
            raise Glm4Error(f"The backend {NAME} has no {name} {given}", "It runs on the CPU, in one way: leave it.")


def create(plan: Plan) -> EngineThread:
    """Map the weights and build the model over them. Raises Glm4Error where they were packed for other processors."""
    return backend_over(load_model(plan.directory))


def backend_over(model: GlmForCausalLM) -> EngineThread:
    """The backend with a model in it."""
    return EngineThread(one_after_another(_Replies(model).generate))


def fingerprint(directory: Path, recipe: Mapping[str, Any], thorough: bool = False) -> Fingerprint:
    """That of all the layers: nothing is repacked first."""
    config = read_json(directory / "config.json")
    model = model_over(read_tensors(directory), config, recipe)
    ids = fixed_ids(config["vocab_size"])
    logits = THREAD.submit(compute, model, ids).result().numpy()
    return Fingerprint.of(logits, ids, config["num_hidden_layers"], engine())


def engine() -> str:
    """The engine and its version, for fingerprints."""
    return f"intel-extension-for-transformers {version('intel-extension-for-transformers')}"


def _prepare_thread() -> None:
    """OpenMP workers take over what is set here, since this thread starts them.

    QBits' AMX kernels compute 16 rows where there is one token, and find whatever memory holds in the others' place:
    denormal numbers there, unless they count as zero, take them many times as long.
    """
    torch.set_flush_denormal(True)
    torch.set_num_threads(usable_cores())


THREAD = ThreadPoolExecutor(1, NAME, _prepare_thread)
"""Where everything is computed: each thread that computes gets OpenMP workers of its own, and once there are more of
them than cores they all go to sleep between one operation and the next."""


class _Replies:
    """One model, and the KV cache of its last conversation, whose beginning the next one may have in common."""

    def __init__(self, model: GlmForCausalLM) -> None:
        self._model = model
        self._read_ids: list[int] = []
        self._cache = GrowingCache()
        self._mailbox: Writing | None = None
        for layer in model.model.layers:
            layer.register_forward_pre_hook(self._look_up)

    def generate(self, mailbox: Writing) -> None:
        """Write one reply."""
        refuse_unsampled(NAME, mailbox.request)
        self._mailbox = mailbox
        try:
            THREAD.submit(self._write, mailbox).result()
        finally:
            self._mailbox = None

    def _write(self, mailbox: Writing) -> None:
        for id in self._reply(mailbox):
            mailbox.write([id])

    def _reply(self, mailbox: Writing) -> Iterator[int]:
        ids = mailbox.request.ids
        same = takewhile(lambda pair: pair[0] == pair[1], zip(self._read_ids, ids[:-1], strict=False))
        known = sum(1 for _ in same)
        self._cache.crop(known)
        del self._read_ids[known:]
        yield from sample(self._read, mailbox.request, lambda: mailbox.over, known)

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
        if self._mailbox and self._mailbox.over:
            raise _UnwantedError


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
