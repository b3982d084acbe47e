"""Our parameters in OpenVINO GenAI's words: generation, grammars, and the scheduler of its KV cache."""

import secrets
from typing import Any

import openvino_genai

from ...chat.generation import GenerationParams
from ...chat.guide import Guide
from ...chat.json_grammar import any_text_grammar, literal_grammar
from ...errors import Glm4Error
from ..base import Plan, Request
from ..options import EngineOptions

_BLOCK_TOKENS = {"CPU": 32}
"""Tokens in a block of the KV cache; 16 on every other device (OpenVINO GenAI's scheduler)."""
REPLIES_AT_ONCE = 16
"""That a step writes a token of, at most."""
_GUESSED, _PHRASE, _DRAFTED = 5, 3, 4
"""Tokens guessed from the prompt after a match of up to so many, and tokens that a draft model writes ahead."""
_SINK, _RECENT = 32, 128
"""Tokens at the start and at the end of a conversation that eviction leaves alone."""


def generation_config(request: Request, engine: EngineOptions) -> Any:
    """The engine's configuration of one reply. Raises Glm4Error for what it would get wrong."""
    params = request.params
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens = params.max_new_tokens
    config.ignore_eos = params.ignore_eos
    config.stop_token_ids = set(params.stop_token_ids)
    config.repetition_penalty = params.repetition_penalty
    config.presence_penalty = params.presence_penalty
    config.frequency_penalty = params.frequency_penalty
    config.logprobs = int(request.logprobs)
    _set_sampling(config, params)
    if request.guide:
        config.structured_output_config = _grammar(request.guide)
    _set_guessing(config, request, engine)
    return config


def _set_sampling(config: Any, params: GenerationParams) -> None:
    config.do_sample = not params.greedy
    if params.greedy:
        return
    config.temperature, config.top_p, config.min_p = params.temperature, params.top_p, params.min_p
    if params.top_k:
        config.top_k = params.top_k
    config.rng_seed = secrets.randbits(32) if params.seed is None else params.seed


def _set_guessing(config: Any, request: Request, engine: EngineOptions) -> None:
    if engine.prompt_lookup:
        config.num_assistant_tokens, config.max_ngram_size = _GUESSED, _PHRASE
    if engine.draft_model:
        if request.guide and config.do_sample:  # the engine loses count of such a reply's tokens, one time in 25
            raise Glm4Error(
                "A reply that is drawn can't be both guided and guessed by a draft model",
                "Give temperature 0, or load the model without a draft.",
            )
        config.num_assistant_tokens = _DRAFTED


def scheduler_config(plan: Plan) -> Any:
    """How the engine keeps and shares its KV cache."""
    engine, scheduler = plan.engine, openvino_genai.SchedulerConfig()
    scheduler.enable_prefix_caching = True
    scheduler.max_num_batched_tokens = engine.max_batched_tokens
    scheduler.max_num_seqs = REPLIES_AT_ONCE
    scheduler.num_kv_blocks = all_kv_blocks(plan)
    if engine.sparse_attention:
        scheduler.use_sparse_attention = True
        scheduler.sparse_attention_config = openvino_genai.SparseAttentionConfig(
            mode=openvino_genai.SparseAttentionMode.TRISHAPE
        )
    if engine.kv_eviction:
        scheduler.use_cache_eviction = True
        scheduler.cache_eviction_config = openvino_genai.CacheEvictionConfig(
            _SINK, _RECENT, engine.kv_eviction, openvino_genai.AggregationMode.NORM_SUM
        )
    return scheduler


def block_tokens(plan: Plan) -> int:
    """Tokens in a block of the KV cache."""
    return _BLOCK_TOKENS.get(plan.device.name, 16)


def all_kv_blocks(plan: Plan) -> int:
    """Blocks that the KV cache has; one is beyond what replies are given."""
    return kv_blocks(plan, plan.cached_tokens) + 1


def kv_blocks(plan: Plan, tokens: int) -> int:
    """Blocks of the KV cache that so many tokens of one sequence take."""
    return -(-tokens // block_tokens(plan))


def _grammar(guide: Guide) -> Any:
    """The guide as OpenVINO GenAI's compound grammar."""
    form = openvino_genai.StructuredOutputConfig
    if not guide.forms:
        return form(compound_grammar=_thinking_first(guide, _held_calls(guide)))
    specs = [any_text_grammar() if each.kind == "text" else each.spec for each in guide.forms]
    starts = [literal_grammar(each.start) for each in guide.forms]
    forms = [form.EBNF(start) + form.EBNF(spec) for start, spec in zip(starts, specs, strict=True)]
    grammar = forms[0] if len(forms) == 1 else form.Union(forms)
    return form(compound_grammar=_thinking_first(guide, grammar))


def _held_calls(guide: Guide) -> Any:
    """Any text, in which a call's name and line break begin what must be that call."""
    form = openvino_genai.StructuredOutputConfig
    tags = [form.Tag(call.start, form.EBNF(call.spec), "") for call in guide.calls]
    return form.TriggeredTags([call.start for call in guide.calls], tags)


def _thinking_first(guide: Guide, grammar: Any) -> Any:
    form = openvino_genai.StructuredOutputConfig
    if guide.thinking == "off":
        return grammar
    opening = "" if guide.thinking == "inside" else "<think>"
    return form.Tag(opening, form.AnyText(), "</think>") + grammar
