"""Several replies at once: each pass over the weights computes the next token of all of them.

One thread adds requests, steps and reads; the pipeline's other calls are not safe beside a step. A step holds Python's
lock, so that prompts are read in small pieces and the lock is given up after each step.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai

from ...generation import GenerationParams
from ..base import EngineOptions
from .config import generation_config
from .paged import paged_pipeline
from .turns import Streamer

_GIVE_UP_LOCK = 0.0001
"""Seconds of sleep after a step, in which other threads take Python's lock."""
_RUNNING = openvino_genai.GenerationStatus.RUNNING


def create(directory: Path, device: str, properties: Mapping[str, Any], options: EngineOptions) -> "BatchedBackend":
    """Compile the model on the device. Raises Glm4Error if the device refuses it."""
    options.require_none_but("Writing several replies at once", "context", "batch", "sparse_attention", "kv_eviction",
                             "prefill")  # fmt: skip
    return BatchedBackend(paged_pipeline(directory, device, properties, options), options)


@dataclass
class _Request:
    ids: Sequence[int]
    config: Any
    streamer: Streamer
    handle: Any = None


class BatchedBackend:
    """A pipeline whose replies are written side by side; its thread lives as long as there are any."""

    prompt_limit: int | None = None

    def __init__(self, pipeline: Any, options: EngineOptions) -> None:
        self._pipeline, self._options = pipeline, options
        self._numbers = itertools.count()
        self._lock = threading.Lock()  # over the two below
        self._waiting: list[_Request] = []
        self._driving = False

    def stream(self, ids: Sequence[int], params: GenerationParams, cancelled: Callable[[], bool]) -> Iterator[int]:
        """See Backend.stream."""
        request = _Request(ids, generation_config(params, self._options), Streamer(cancelled))
        self._hand_over(request)
        yield from request.streamer.reply(params)

    def _hand_over(self, request: _Request) -> None:
        with self._lock:
            self._waiting.append(request)
            if not self._driving:
                self._driving = True
                threading.Thread(target=self._drive).start()

    def _drive(self) -> None:
        live: list[_Request] = []
        while True:
            with self._lock:
                added, self._waiting = self._waiting, []
                self._driving = bool(live or added)
                if not self._driving:
                    return
            live = self._step(live + [request for request in added if self._add(request)])
            time.sleep(_GIVE_UP_LOCK)

    def _add(self, request: _Request) -> bool:
        prompt = openvino.Tensor(np.array([request.ids], dtype=np.int64))
        try:
            request.handle = self._pipeline.add_request(next(self._numbers), prompt, request.config)
        except RuntimeError as error:
            _end(request, error)
            return False
        return True

    def _step(self, live: list[_Request]) -> list[_Request]:
        """One token for each; the requests that go on."""
        try:
            for request in live:
                if request.streamer.over:
                    request.handle.cancel()
            if self._pipeline.has_non_finished_requests():
                self._pipeline.step()
        except RuntimeError as error:
            for request in live:
                _end(request, error)
            return []
        return [request for request in live if _read(request)]


def _read(request: _Request) -> bool:
    """Hand over what there is; whether there will be more."""
    going = bool(request.handle.get_status() == _RUNNING)
    while request.handle.can_read():
        for output in request.handle.read().values():
            request.streamer.write(list(output.generated_ids))
    if not going:
        request.streamer.finish()
    return going


def _end(request: _Request, error: Exception) -> None:
    request.streamer.failure = error
    request.streamer.finish()
