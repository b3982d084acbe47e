"""Replies one after another: what the engine's thread writes, handed to whoever reads it.

`generate` runs in a thread of its own, where it releases Python's lock, and hands its ids over as it goes; the
pipeline's `step` would be simpler, but holds the lock, so that a web page would freeze while a long prompt is read.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import openvino_genai

from ...errors import Glm4Error
from ...generation import GenerationParams

LOOK_UP = 0.05
"""Seconds after which a stream that waits for the engine looks whether it has been cancelled."""
_MOMENT = 0.015
"""Seconds in which ids are handed over together: a frame of a screen."""
_MAIN = threading.main_thread()
_RUNNING, _CANCEL = openvino_genai.StreamingStatus.RUNNING, openvino_genai.StreamingStatus.CANCEL

Generate = Callable[[Sequence[int], GenerationParams, "Streamer"], None]
"""The engine's call for one reply; it returns when the reply is written."""


class TurnTaking:
    """An engine that any number of threads may stream from, one after another."""

    def __init__(self, generate: Generate, prompt_limit: int | None = None) -> None:
        self.prompt_limit = prompt_limit
        self._generate = generate
        self._busy = threading.Lock()  # taken by the stream whose turn it is, released by its engine thread

    def stream(self, ids: Sequence[int], params: GenerationParams, cancelled: Callable[[], bool]) -> Iterator[int]:
        """See Backend.stream."""
        while not self._busy.acquire(timeout=LOOK_UP):
            if cancelled():
                return
        streamer = Streamer(cancelled)
        threading.Thread(target=self._run, args=(ids, params, streamer)).start()
        yield from streamer.reply(params)

    def _run(self, ids: Sequence[int], params: GenerationParams, streamer: "Streamer") -> None:
        try:
            self._generate(ids, params, streamer)
        except (RuntimeError, Glm4Error) as error:
            streamer.failure = error
        finally:
            self._busy.release()
            streamer.finish()


class Streamer(openvino_genai.StreamerBase):  # type: ignore[misc]
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
            if not self._news.wait(LOOK_UP):
                continue
            self._news.clear()
            finished = self._finished
            while self._ids and not self._cancelled():
                yield self._ids.popleft()
            if finished:
                break
        if self.failure:
            raise _failure(self.failure) from self.failure

    def reply(self, params: GenerationParams) -> Iterator[int]:
        """`taken` up to the reply's own end. Raises Glm4Error if it ends before that without being cancelled."""
        count = 0
        try:
            for id in self.taken():
                count += 1
                yield id
                if id in params.stop_ids or count == params.max_new_tokens:
                    return
        finally:
            self.unwanted = True
        if not self._cancelled():
            raise Glm4Error(
                "The KV cache is full", "Shorten the conversation, or load the model with a longer --context."
            )

    @property
    def over(self) -> bool:
        """Whether nobody waits for more; a program that has ended ends its replies."""
        return self.unwanted or self._cancelled() or not _MAIN.is_alive()

    def write(self, token: int | list[int]) -> Any:
        """The pipeline's call for each token, or for as many as were guessed; its answer says whether to go on."""
        self._ids.extend(token) if isinstance(token, list) else self._ids.append(token)
        now = time.perf_counter()
        if now - self._told >= _MOMENT:
            self._told = now
            self._news.set()
        return _CANCEL if self.over else _RUNNING

    def end(self) -> None:
        """Nothing: the end of `generate` is the end."""

    def finish(self) -> None:
        """The engine is done: nothing comes after what has come."""
        self._finished = True
        self._news.set()


def _failure(error: Exception) -> Glm4Error:
    """What went wrong in the engine, as one line."""
    if isinstance(error, Glm4Error):
        return error
    text = str(error).strip()
    if "xgrammar" in text:
        reason = text.splitlines()[0].rpartition(".cc:")[2].partition(": ")[2]
        return Glm4Error(f"The engine can't guide this reply: {reason}", "Simplify the expression or the schema.")
    return Glm4Error(f"The engine failed: {text}", "See: glm4-intel doctor")
