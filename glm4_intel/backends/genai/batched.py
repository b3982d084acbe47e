"""Several replies at once: each pass over the weights computes the next token of all of them.

One thread adds requests, steps and reads; the pipeline's other calls are not safe beside a step. A step holds Python's
lock, so that prompts are read in small pieces and the lock is given up after each step.

With its KV cache full, the pipeline takes a reply's blocks from it for another's and writes wrong tokens into both; so
it is given as many requests as the cache holds to their end, prompts and longest replies, and the others wait; nor more
than a step writes of, because those that waited inside would be started out of turn, and counted as being written.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino
import openvino_genai

from ...errors import Glm4Error
from ..base import Plan
from ..turns import EngineThread, Orders, Writing
from .adapters import AdapterPrompts
from .config import REPLIES_AT_ONCE, all_kv_blocks, block_tokens, generation_config, kv_blocks
from .paged import paged_pipeline
from .prefix_cache import CachedPrompt, PrefixCache
from .streamer import telling_faults_of_guides

_GIVE_UP_LOCK = 0.0001
"""Seconds of sleep after a step, in which other threads take Python's lock."""
_RUNNING = openvino_genai.GenerationStatus.RUNNING


def create(plan: Plan) -> EngineThread:
    """Compile the model on the device. Raises Glm4Error if the device refuses it."""
    pipeline, prompts = paged_pipeline(plan)
    batch = _Batch(pipeline, plan, prompts)
    return EngineThread(batch.serve, cached_tokens=plan.cached_tokens)


@dataclass
class _Reply:
    """A reply that is being written, and the blocks of the KV cache that it may take."""

    mailbox: Writing
    blocks: int
    handle: Any
    prompt: CachedPrompt
    begun: bool = False
    """Whether any of it has been written."""


class _Batch:
    """A pipeline whose replies are written side by side."""

    def __init__(self, pipeline: Any, plan: Plan, prompts: AdapterPrompts) -> None:
        self._pipeline, self._plan, self._prompts = pipeline, plan, prompts
        self._free = self._all = kv_blocks(plan, plan.cached_tokens)
        self._cache = PrefixCache(all_kv_blocks(plan), block_tokens(plan), plan.engine.max_batched_tokens or 0)
        self._cache.sure = not plan.engine.kv_eviction
        self._added = 0
        self._waiting: deque[Writing] = deque()
        self._live: list[_Reply] = []

    def serve(self, inbox: Orders, closing: threading.Event) -> None:
        """Write replies until the inbox gives None. See EngineThread."""
        while self._take(inbox):
            while self._waiting and self._let_in(self._waiting[0]):
                self._waiting.popleft()
            if not self._step():
                closing.set()
                break
            time.sleep(_GIVE_UP_LOCK)
        else:
            self._leave()
        self._fail(RuntimeError("it has been closed"), self._live)
        for mailbox in self._waiting:
            mailbox.finish(RuntimeError("it has been closed"))
        self._waiting.clear()

    def _leave(self) -> None:
        """Take out what is being written: a pipeline that ends with it prints that its blocks have leaked."""
        self._fail(RuntimeError("it has been closed"), self._live)
        self._step()

    def _take(self, inbox: Orders) -> bool:
        """Queue what has come in, waiting for something where nothing is being written; False at the end."""
        idle = not self._live and not self._waiting
        while True:
            try:
                mailbox = inbox.get(block=idle)
            except queue.Empty:
                return True
            if mailbox is None:
                return False
            self._waiting.append(mailbox)
            idle = False

    def _let_in(self, mailbox: Writing) -> bool:
        """Begin a reply, if the cache has room for all of it; True also where it has ended before it began."""
        request = mailbox.request
        if mailbox.over:
            mailbox.finish()
            return True
        try:
            ids = self._prompts.of(request)
        except Glm4Error as error:
            mailbox.finish(error)
            return True
        blocks = kv_blocks(self._plan, len(ids) + request.params.max_new_tokens)
        if self._live and (blocks > self._free or len(self._live) == REPLIES_AT_ONCE):
            return False
        prompt = openvino.Tensor(np.array([ids], dtype=np.int64))
        try:
            with telling_faults_of_guides():
                config = generation_config(request, self._plan.engine)
                handle = self._pipeline.add_request(self._added, prompt, config)
        except Exception as error:  # whatever a library raises in this thread is the reader's to be told
            mailbox.finish(error)
            return True
        cached = self._cache.add(ids)
        virtual = len(ids) - len(request.ids)
        mailbox.begin(blocks / self._all, max(0, cached.cached - virtual) if self._cache.sure else None)
        self._added += 1
        self._free -= blocks
        self._live.append(_Reply(mailbox, blocks, handle, cached))
        return True

    def _step(self) -> bool:
        """One token for each reply; False where the pipeline broke, after which every step of it would fail."""
        try:
            for reply in self._live:
                if reply.mailbox.over and self._may_end(reply):
                    reply.handle.cancel()
                    reply.prompt.over = True
            if not self._pipeline.has_non_finished_requests():
                return True
            with telling_faults_of_guides():
                self._pipeline.step()
            self._cache.schedule()
            ended = [reply for reply in self._live if not _read(reply)]
            self._cache.end_step(self._pipeline.get_metrics().cache_usage)
        except Glm4Error as error:  # a guide that the engine looks at only now, which ends the step of all
            self._fail(error, [reply for reply in self._live if reply.mailbox.request.guide and not reply.begun])
            self._fail(RuntimeError(f"another request's guide has stopped it ({error})"), self._live)
            return False
        except Exception as error:  # as above: all that are being written end with it
            self._fail(error, self._live)
            return False
        for reply in ended:
            self._forget(reply)
        return True

    def _may_end(self, reply: _Reply) -> bool:
        """Whether it leaves nothing in the cache that is wrong; else its prompt is read on, to the end of a block."""
        return reply.begun or (self._cache.sure and not reply.prompt.torn)

    def _fail(self, error: Exception, failed: Sequence[_Reply]) -> None:
        """End replies; a handle that is dropped takes its request out of the pipeline."""
        for reply in list(failed):
            self._forget(reply)
            reply.mailbox.finish(error)

    def _forget(self, reply: _Reply) -> None:
        self._free += reply.blocks
        reply.prompt.over = True
        self._live.remove(reply)


def _read(reply: _Reply) -> bool:
    """Hand over what there is; whether there will be more."""
    going = bool(reply.handle.get_status() == _RUNNING)
    while reply.handle.can_read():
        for output in reply.handle.read().values():
            reply.begun = reply.begun or bool(output.generated_ids)
            reply.prompt.ids += output.generated_ids
            reply.mailbox.write(list(output.generated_ids), list(output.generated_log_probs))
    if not going:
        reply.prompt.over = True
        reply.mailbox.finish()
    return going
