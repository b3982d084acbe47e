"""Our parameters in OpenVINO GenAI's words: generation, grammars, and the scheduler of its KV cache."""

import json
import secrets
from pathlib import Path
from typing import Any

import openvino_genai

from ...devices import footprint
from ...errors import Glm4Error
from ...generation import GenerationParams
from ...structured import Guide
from ..base import EngineOptions

_BLOCK_TOKENS = {"CPU": 32}
"""Tokens in a block of the KV cache; 16 on every other device (OpenVINO GenAI's scheduler)."""
_CACHE_BYTES = 2 << 30
"""A cache of conversations' prefixes beyond one whole context takes at most this much."""
_PREFILL_TOKENS = {False: 1024, True: 256}
"""Prompt tokens computed in one step, by whether other replies wait for theirs, unless the options say."""
_REPLIES_AT_ONCE = 16
_GUESSED, _PHRASE, _DRAFTED = 5, 3, 4
"""Tokens guessed from the prompt after a match of up to so many, and tokens that a draft model writes ahead."""
_SINK, _RECENT = 32, 128
"""Tokens at the start and at the end of a conversation that eviction leaves alone."""


def generation_config(params: GenerationParams, options: EngineOptions) -> Any:
    """The engine's configuration of one reply."""
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens = params.max_new_tokens
    config.ignore_eos = params.ignore_stop
    config.stop_token_ids = set(params.stop_ids)
    config.repetition_penalty = params.repetition_penalty
    config.presence_penalty = params.presence_penalty
    config.frequency_penalty = params.frequency_penalty
    config.do_sample = not params.greedy
    if config.do_sample:
        config.temperature, config.top_p, config.min_p = params.temperature, params.top_p, params.min_p
        if params.top_k:
            config.top_k = params.top_k
        config.rng_seed = secrets.randbits(32) if params.seed is None else params.seed
    if params.guide:
        config.structured_output_config = _grammar(params.guide)
    if options.prompt_lookup:
        config.num_assistant_tokens, config.max_ngram_size = _GUESSED, _PHRASE
    if options.draft:
        if params.guide and config.do_sample:  # the engine loses count of such a reply's tokens, one time in 25
            raise Glm4Error(
                "A reply that is drawn can't be both guided and guessed by a draft model",
                "Give temperature 0, or load the model without a draft.",
            )
        config.num_assistant_tokens = _DRAFTED
    return config


def scheduler_config(directory: Path, device: str, options: EngineOptions) -> Any:
    """How the engine keeps and shares its KV cache."""
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.enable_prefix_caching = True
    scheduler.max_num_batched_tokens = options.prefill or _PREFILL_TOKENS[bool(options.batch)]
    scheduler.max_num_seqs = _REPLIES_AT_ONCE
    scheduler.num_kv_blocks = _kv_blocks(directory, device, options)
    if options.sparse_attention:
        scheduler.use_sparse_attention = True
        scheduler.sparse_attention_config = openvino_genai.SparseAttentionConfig(
            mode=openvino_genai.SparseAttentionMode.TRISHAPE
        )
    if options.kv_eviction:
        scheduler.use_cache_eviction = True
        scheduler.cache_eviction_config = openvino_genai.CacheEvictionConfig(
            _SINK, _RECENT, options.kv_eviction, openvino_genai.AggregationMode.NORM_SUM
        )
    return scheduler


def _grammar(guide: Guide) -> Any:
    """The guide as OpenVINO GenAI's compound grammar."""
    form = openvino_genai.StructuredOutputConfig
    kinds = {"grammar": form.EBNF, "regex": form.Regex, "text": lambda spec: form.AnyText()}
    forms: list[Any] = [form.ConstString(each.start) for each in guide.forms]
    for index, each in enumerate(guide.forms):
        if each.kind in kinds:
            forms[index] += kinds[each.kind](each.spec)
    grammar = forms[0] if len(forms) == 1 else form.Union(forms)
    if guide.thinking == "off":
        return form(compound_grammar=grammar)
    opening = "" if guide.thinking == "inside" else "<think>"
    return form(compound_grammar=form.Tag(opening, form.AnyText(), "</think>") + grammar)


def _kv_blocks(directory: Path, device: str, options: EngineOptions) -> int:
    """Blocks for one whole context, and for further conversations as far as memory allows.

    Left at 0, the cache would grow without bound.
    """
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    context = options.context or config["max_position_embeddings"]
    tokens: int = max(context, min(8 * context, _CACHE_BYTES // footprint.kv_token_bytes(config)))
    return -(-tokens // _BLOCK_TOKENS.get(device, 16)) + 1
