"""Several replies at once: each pass over the weights computes the next token of all of them.

One thread adds requests, steps and reads; the pipeline's other calls are not safe beside a step. A step holds Python's
lock, so that prompts are read in small pieces and the lock is given up after each step.

With its KV cache full, the pipeline takes a reply's blocks from it for another's and writes wrong tokens into both; so
it is given as many requests as the cache holds to their end, prompts and longest replies, and the others wait.
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
from .adapters import AdapterSet
from .config import generation_config, kv_blocks
from .paged import adapters_of, paged_pipeline
from .streamer import telling_faults_of_guides

_GIVE_UP_LOCK = 0.0001
"""Seconds of sleep after a step, in which other threads take Python's lock."""
_RUNNING = openvino_genai.GenerationStatus.RUNNING


def create(plan: Plan) -> EngineThread:
    """Compile the model on the device. Raises Glm4Error if the device refuses it."""
    adapters = adapters_of(plan)
    return EngineThread(_Batch(paged_pipeline(plan, adapters), plan, adapters).serve)


@dataclass
class _Reply:
    """A reply that is being written, and the blocks of the KV cache that it may take."""

    mailbox: Writing
    blocks: int
    handle: Any
    begun: bool = False
    """Whether any of it has been written."""


class _Batch:
    """A pipeline whose replies are written side by side."""

    def __init__(self, pipeline: Any, plan: Plan, adapters: AdapterSet) -> None:
        self._pipeline, self._plan, self._adapters = pipeline, plan, adapters
        self._free = self._all = kv_blocks(plan, plan.cached_tokens)
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
        self._fail(RuntimeError("it has been closed"), self._live)
        for mailbox in self._waiting:
            mailbox.finish(RuntimeError("it has been closed"))
        self._waiting.clear()

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
            ids = self._adapters.prompt(request)
        except Glm4Error as error:
            mailbox.finish(error)
            return True
        blocks = kv_blocks(self._plan, len(ids) + request.params.max_new_tokens)
        if blocks > self._free and self._live:
            return False
        prompt = openvino.Tensor(np.array([ids], dtype=np.int64))
        try:
            with telling_faults_of_guides():
                config = generation_config(request, self._plan.engine)
                handle = self._pipeline.add_request(self._added, prompt, config)
        except Exception as error:  # whatever a library raises in this thread is the reader's to be told
            mailbox.finish(error)
            return True
        mailbox.begin(blocks / self._all)
        self._added += 1
        self._free -= blocks
        self._live.append(_Reply(mailbox, blocks, handle))
        return True

    def _step(self) -> bool:
        """One token for each reply; False where the pipeline broke, after which every step of it would fail."""
        try:
            for reply in self._live:
                if reply.mailbox.over:
                    reply.handle.cancel()
            if self._pipeline.has_non_finished_requests():
                with telling_faults_of_guides():
                    self._pipeline.step()
            ended = [reply for reply in self._live if not _read(reply)]
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

    def _fail(self, error: Exception, failed: Sequence[_Reply]) -> None:
        """End replies; a handle that is dropped takes its request out of the pipeline."""
        for reply in list(failed):
            self._forget(reply)
            reply.mailbox.finish(error)

    def _forget(self, reply: _Reply) -> None:
        self._free += reply.blocks
        self._live.remove(reply)


def _read(reply: _Reply) -> bool:
    """Hand over what there is; whether there will be more."""
    going = bool(reply.handle.get_status() == _RUNNING)
    while reply.handle.can_read():
        for output in reply.handle.read().values():
            reply.begun = reply.begun or bool(output.generated_ids)
            reply.mailbox.write(list(output.generated_ids), list(output.generated_log_probs))
    if not going:
        reply.mailbox.finish()
    return going
