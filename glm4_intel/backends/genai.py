"""The default backend: OpenVINO GenAI's paged-attention pipeline, one reply at a time.

`generate` runs in a thread of its own, where it releases Python's lock, and hands its ids over as it goes; the
pipeline's `step` would be simpler, but holds the lock, so that a web page would freeze while a long prompt is read.
Streams of other threads wait their turn. Prefix caching lets a later turn skip what an earlier one computed.
"""

import json
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai

from ..devices import device_error
from ..errors import Glm4Error
from ..generation import GenerationParams
from ..structured import Guide

_BLOCK_TOKENS = {"CPU": 32}
"""Tokens in a block of the KV cache; 16 on every other device (OpenVINO GenAI's scheduler)."""
_CACHE_BYTES = 2 << 30
"""A cache of conversations' prefixes beyond one whole context takes at most this much."""
_PREFILL_TOKENS = 1024
"""Prompt tokens computed in one step: large enough for full speed, small enough to cancel in."""
_LOOK_UP = 0.05
"""Seconds after which a stream that waits for the engine looks whether it has been cancelled."""
_MOMENT = 0.015
"""Seconds in which ids are handed over together: a frame of a screen."""
_MAIN = threading.main_thread()
_RUNNING, _CANCEL = openvino_genai.StreamingStatus.RUNNING, openvino_genai.StreamingStatus.CANCEL


def create(directory: Path, device: str, properties: Mapping[str, Any]) -> "GenAiBackend":
    """Compile the model on the device. Raises Glm4Error if the device refuses it."""
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.enable_prefix_caching = True
    scheduler.max_num_batched_tokens = _PREFILL_TOKENS
    scheduler.num_kv_blocks = _kv_blocks(directory, device)
    try:
        tokenizer = openvino_genai.Tokenizer(directory)
        pipeline = openvino_genai.ContinuousBatchingPipeline(directory, tokenizer, scheduler, device, **properties)
    except RuntimeError as error:
        raise device_error(device, error) from error
    return GenAiBackend(pipeline)


class GenAiBackend:
    """A pipeline that any number of threads may stream from, one after another."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._busy = threading.Lock()  # taken by the stream whose turn it is, released by its engine thread

    def stream(self, ids: Sequence[int], params: GenerationParams, cancelled: Callable[[], bool]) -> Iterator[int]:
        """See Backend.stream."""
        prompt, config = openvino.Tensor(np.array([ids], dtype=np.int64)), _config(params)
        while not self._busy.acquire(timeout=_LOOK_UP):
            if cancelled():
                return
        streamer = _Streamer(cancelled)
        threading.Thread(target=self._run, args=(prompt, config, streamer)).start()
        taken = 0
        try:
            for id in streamer.taken():
                taken += 1
                yield id
                if id in params.stop_ids or taken == params.max_new_tokens:
                    return
        finally:
            streamer.unwanted = True
        if not cancelled():
            raise Glm4Error("The KV cache is full", "Shorten the conversation.")

    def _run(self, prompt: Any, config: Any, streamer: "_Streamer") -> None:
        try:
            self._pipeline.generate([prompt], [config], streamer)
        except RuntimeError as error:
            streamer.failure = error
        finally:
            self._busy.release()
            streamer.finish()


class _Streamer(openvino_genai.StreamerBase):  # type: ignore[misc]
    """Hands the ids of one reply from the engine's thread to the one that takes them.

    Ids that come faster than anyone reads are handed over several at a time: waking the taker for each of them would
    take the engine's cores from it.
    """

    def __init__(self, cancelled: Callable[[], bool]) -> None:
        super().__init__()
        self.unwanted = False
        self.failure: Exception | None = None
        self._cancelled = cancelled
        self._ids: deque[int] = deque()
        self._news, self._told, self._finished = threading.Event(), 0.0, False

    def taken(self) -> Iterator[int]:
        """The ids as they come, up to the end of the reply or until it is cancelled."""
        while not self._cancelled():
            if not self._news.wait(_LOOK_UP):
                continue
            self._news.clear()
            finished = self._finished
            while self._ids and not self._cancelled():
                yield self._ids.popleft()
            if finished:
                break
        if self.failure:
            raise _failure(self.failure) from self.failure

    def write(self, token: int | list[int]) -> Any:
        """The pipeline's call for each token; its answer says whether to go on."""
        self._ids.extend(token) if isinstance(token, list) else self._ids.append(token)
        now = time.perf_counter()
        if now - self._told >= _MOMENT:
            self._told = now
            self._news.set()
        over = self.unwanted or self._cancelled() or not _MAIN.is_alive()  # a program that has ended ends its replies
        return _CANCEL if over else _RUNNING

    def end(self) -> None:
        """Nothing: the end of `generate` is the end."""

    def finish(self) -> None:
        """The engine is done: nothing comes after what has come."""
        self._finished = True
        self._news.set()


def _failure(error: Exception) -> Glm4Error:
    text = str(error).strip()
    if "xgrammar" in text:
        reason = text.splitlines()[0].rpartition(".cc:")[2].partition(": ")[2]
        return Glm4Error(f"The engine can't guide this reply: {reason}", "Simplify the expression or the schema.")
    return Glm4Error(f"The engine failed: {text}", "See: glm4-intel doctor")


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


def _config(params: GenerationParams) -> Any:
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
    return config


def _kv_blocks(directory: Path, device: str) -> int:
    """Blocks for one whole context, and for further conversations as far as memory allows.

    Left at 0, the cache would grow without bound.
    """
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    head: int = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    token_bytes = 2 * config["num_hidden_layers"] * config["num_key_value_heads"] * head * 2
    context = config["max_position_embeddings"]
    tokens: int = max(context, min(8 * context, _CACHE_BYTES // token_bytes))
    return -(-tokens // _BLOCK_TOKENS.get(device, 16)) + 1
