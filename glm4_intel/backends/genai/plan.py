"""How OpenVINO GenAI would load a model directory: its options, and its KV cache in blocks."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ...devices import Device, Footprint, Machine, engine_settings, footprint
from ...errors import Glm4Error
from ...model_directory import ModelDirectory, read_json
from ..base import Plan
from ..openvino_ir import chosen
from ..options import EngineOptions, LoadOptions

NPU_CONTEXT = 2048
"""Tokens of context that an NPU's model is compiled for unless another number is asked for."""
_CACHE_BYTES = 2 << 30
"""A cache of conversations' prefixes beyond one whole context takes at most this much, and at most that of so many:"""
_CONVERSATIONS = 8
_ON_NPU = ("context", "blob")
_ALONE = ("context", "prompt_lookup", "draft_model", "sparse_attention", "kv_eviction", "max_batched_tokens")
_TOGETHER = ("context", "continuous_batching", "sparse_attention", "kv_eviction", "max_batched_tokens")


def plan(directory: ModelDirectory, options: LoadOptions, machine: Machine) -> Plan:
    """See `base.Engine`. The KV cache holds one whole context, and further conversations as far as memory allows."""
    choice, properties = chosen(directory, options, machine)
    engine = _engine_options(choice.device, options)
    adapters, virtual_tokens = _adapters(directory, options, choice.device, engine)
    draft = _draft_bytes(directory, engine)
    token = _token_bytes(directory, engine, str(properties.get("KV_CACHE_PRECISION", "f16")))
    if options.adapters:  # one attention more keeps which adapter a reply has
        token += -(-token // directory.config["num_hidden_layers"])
    both = Footprint(
        weights=footprint.weights_bytes(directory.path), draft_model=draft, adapters=adapters,
        cache=virtual_tokens * token,
    )  # fmt: skip
    static = choice.device.kind == "NPU"
    room = None if options.ignore_limits or static else machine.room_on(choice.device)
    asked = engine.context or (min(directory.context_length, NPU_CONTEXT) if static else None)
    least = asked or min(footprint.USEFUL_CONTEXT, directory.context_length)
    one = replace(both, weights=footprint.one_way_bytes(directory))
    fits = room is None or both.total + least * token <= room
    bare = both if fits and not options.adapters else one  # adapters change one way alone
    context = footprint.context_that_fits(directory, asked, bare, token, room, choice.device.name)
    cached = context if static else _cached_tokens(context, token, None if room is None else room - bare.total)
    cached += virtual_tokens
    return Plan(
        directory=directory.path, device=choice.device, context=context, cached_tokens=cached,
        footprint=replace(bare, cache=cached * token), properties=properties, reason=choice.reason,
        engine=replace(engine, context=context), adapters=dict(options.adapters), one_way=bare != both,
        note="" if bare == both else _note(both, fits),
    )  # fmt: skip


def _adapters(
    directory: ModelDirectory, options: LoadOptions, device: Device, engine: EngineOptions
) -> tuple[int, int]:
    """Bytes of the adapters of a load, and their virtual tokens. Raises Glm4Error where they can't be had."""
    if not options.adapters:
        return 0, 0
    if device.kind != "CPU":
        options.require_no_adapters(f"The {device.kind}", "The CPU can: --device CPU. ")
    if engine.draft_model:
        options.require_no_adapters("A model that a draft guesses for")
    from .adapters import read_set  # OpenVINO, without which models of other backends are planned

    adapters = read_set(directory.path, directory.config, options.adapters)
    return adapters.bytes, adapters.prompts.virtual_tokens


def _note(both: Footprint, fits: bool) -> str:
    """Why the second way for prompts is left out: with it the footprint is `both`."""
    why = f"with the int8 way too the model would take {both.total / 1e9:.1f} GB beside its conversations"
    if fits:
        why = "the int8 way can't be had with adapters"
    return f"prompts are read in int4, as tokens are: {why}"


def _engine_options(device: Device, options: LoadOptions) -> EngineOptions:
    """What was asked for, and for the rest what the profile has. Raises Glm4Error for what the pipeline has not."""
    asked = options.engine
    if device.kind == "NPU":
        asked.require_none_but("The NPU", *_ON_NPU)
        return asked
    profile = options.profile
    if asked.continuous_batching:
        profile = "throughput"
    elif asked.draft_model or asked.prompt_lookup or asked.continuous_batching is False:
        profile = "chat" if profile == "throughput" else profile
    merged = replace(asked, **_unstated(asked, engine_settings(device.name, profile)))
    if merged.continuous_batching:
        merged.require_none_but("Writing several replies at once", *_TOGETHER)
    else:
        merged.require_none_but("The paged-attention pipeline", *_ALONE)
    return merged


def _unstated(asked: EngineOptions, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that nothing was said of; two ways of guessing exclude each other."""
    excluded = {"prompt_lookup"} if asked.draft_model or asked.continuous_batching else set()
    return {key: value for key, value in settings.items() if getattr(asked, key) is None and key not in excluded}


def _cached_tokens(context: int, token: int, room: int | None) -> int:
    """Tokens that the KV cache holds, which would grow without bound if it were left to."""
    wanted = min(_CONVERSATIONS * context, _CACHE_BYTES // token)
    return max(context, wanted if room is None else min(wanted, room // token))


def _token_bytes(directory: ModelDirectory, engine: EngineOptions, precision: str) -> int:
    """Bytes of a token in the cache, and in that of a model that drafts."""
    token = footprint.kv_token_bytes(directory.config, precision)
    if engine.draft_model is None:
        return token
    return token + footprint.kv_token_bytes(read_json(engine.draft_model / "config.json"), precision)


def _draft_bytes(directory: ModelDirectory, engine: EngineOptions) -> int:
    if engine.draft_model is None:
        return 0
    _require_same_tokenizer(directory.path, engine.draft_model)
    return footprint.weights_bytes(engine.draft_model)


def _require_same_tokenizer(directory: Path, draft: Path) -> None:
    """A draft's guesses are token ids: they must mean the same."""
    if not (draft / "openvino_model.xml").is_file():
        raise Glm4Error(f"{draft} is no model directory to draft with", "Make one with: glm4-intel export SOURCE OUT")
    if (directory / "tokenizer.json").read_bytes() != (draft / "tokenizer.json").read_bytes():
        raise Glm4Error(f"{draft} has another tokenizer than {directory}", "Draft with a model of the same family.")
