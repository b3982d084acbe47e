"""Replies one after another: what the engine's thread writes, handed to whoever reads it.

The engine computes in one thread of its own that lives as long as its model. A reply is handed to it and taken from it
through queues whose operations a signal can't cut in two, so that Ctrl-C at any instant leaves nothing locked.
"""

import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..errors import Glm4Error
from .base import Request

LOOK_UP = 0.05
"""Seconds after which a reader that waits for the engine looks whether its reply has been cancelled."""
_MOMENT = 0.015
"""Seconds in which ids are handed over together: a frame of a screen."""
_PATIENCE = 30.0
"""Seconds that closing waits for the engine to end its step."""


class Writing(Protocol):
    """A reply that an engine writes: what was asked for, and where what is written goes."""

    request: Request

    @property
    def over(self) -> bool:
        """Whether nobody waits for more."""
        ...

    def begin(self, share: float = 1.0, cached: int | None = None) -> None:
        """The reply is being written now; it may take this share of the KV cache, which held `cached` prompt tokens."""
        ...

    def write(self, ids: Sequence[int], logprobs: Sequence[float] = ()) -> None:
        """Further ids of the reply, and where they were asked for the logarithms of their probabilities."""
        ...

    def finish(self, failure: BaseException | None = None) -> None:
        """Nothing comes after what has come."""
        ...


class Orders(Protocol):
    """Where an engine's loop takes the replies that it is to write."""

    def get(self, block: bool = True) -> Writing | None:
        """The next one; None asks the loop to end. Raises queue.Empty where there is none and `block` is false."""
        ...


@dataclass
class Mailbox:
    """What the engine's thread writes for one reply, and whether anybody still wants it.

    Ids that come faster than anyone reads are handed over several at a time: waking the reader for each of them would
    take the engine's cores from it.
    """

    request: Request
    cancelled: Callable[[], bool]
    unwanted: bool = False
    _pieces: "queue.SimpleQueue[list[int] | None]" = field(default_factory=queue.SimpleQueue)
    """None is the end."""
    _gathered: list[int] = field(default_factory=list)
    _told: float = 0.0
    _failure: BaseException | None = None

    # the engine's side

    @property
    def over(self) -> bool:
        """Whether nobody waits for more."""
        return self.unwanted or self.cancelled()

    def begin(self, share: float = 1.0, cached: int | None = None) -> None:
        """Nothing: the reader learns it from the first id."""

    def write(self, ids: Sequence[int], logprobs: Sequence[float] = ()) -> None:
        """Further ids of the reply."""
        self._gathered += ids
        now = time.perf_counter()
        if now - self._told >= _MOMENT:
            self._told = now
            self._hand_over()

    def finish(self, failure: BaseException | None = None) -> None:
        """Nothing comes after what has come."""
        self._failure = failure
        self._hand_over()
        self._pieces.put(None)

    def _hand_over(self) -> None:
        gathered, self._gathered = self._gathered, []
        self._pieces.put(gathered)

    # the reader's side

    def read(self) -> Iterator[int]:
        """The ids up to the reply's own end, or until it is cancelled. Raises Glm4Error if it ends before that."""
        params = self.request.params
        for count, id in enumerate(self._taken(), 1):
            yield id
            if id in params.stop_token_ids or count == params.max_new_tokens:
                return
        if not self.cancelled():
            raise Glm4Error(
                "The KV cache is full", "Shorten the conversation, or load the model with a longer --context."
            )

    def _taken(self) -> Iterator[int]:
        while not self.cancelled():
            try:
                piece = self._pieces.get(timeout=LOOK_UP)
            except queue.Empty:
                continue
            if piece is None:
                if self._failure:
                    raise engine_failure(self._failure) from self._failure
                return
            for id in piece:
                if self.cancelled():
                    return
                yield id


def engine_failure(error: BaseException) -> Glm4Error:
    """What went wrong in the engine, as one line."""
    if isinstance(error, Glm4Error):
        return error
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, MemoryError) or "bad_alloc" in text:
        return Glm4Error("The engine has run out of memory", "Close other programs, or use a shorter --context.")
    return Glm4Error(f"The engine failed: {text}", "See: glm4-intel doctor")


Inbox = queue.SimpleQueue[Mailbox | None]
"""The replies that an engine's thread is to write; None asks it to end."""
Loop = Callable[[Orders, threading.Event], None]
"""An engine at work: it writes the replies that it takes, until it takes None or the event is set."""


def one_after_another(generate: Callable[[Writing], None]) -> Loop:
    """A loop in which `generate` writes one reply and returns when it is written."""

    def serve(inbox: Orders, closing: threading.Event) -> None:
        while (mailbox := inbox.get()) is not None:
            failure: BaseException | None = None
            try:
                if not mailbox.over and not closing.is_set():
                    _refuse_logprobs(mailbox.request)
                    mailbox.begin()
                    generate(mailbox)
            except BaseException as error:  # whatever a library raises in this thread is the reader's to be told
                failure = error
            mailbox.finish(failure)
            del mailbox, failure

    return serve


def _refuse_logprobs(request: Request) -> None:
    if request.logprobs:
        raise Glm4Error("This engine tells no logprobs", "Load the model with --profile throughput.")


class EngineThread:
    """A backend whose replies are written by one thread. It ends when it is closed, or forgotten, or the program ends.

    `serve` takes replies from an inbox until it gets None there, or `closing` is set, and must not know this object:
    it holds the model, whose memory is given back when the thread has ended.
    """

    def __init__(self, serve: Loop, prompt_limit: int | None = None, cached_tokens: int = 0) -> None:
        self.prompt_limit = prompt_limit
        self.cached_tokens = cached_tokens
        """That a KV cache shared by several replies holds; 0 where there is none."""
        self._serve: Loop | None = serve
        self._process, self._inbox, self._closing = os.getpid(), Inbox(), threading.Event()
        self._thread = threading.Thread(target=serve, args=(self._inbox, self._closing), daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            raise Glm4Error(f"The engine's thread can't be started: {error}", "Raise the limit: ulimit -u") from error
        self._end = weakref.finalize(self, _end, self._thread, self._inbox, self._closing)

    def stream(self, request: Request, cancelled: Callable[[], bool]) -> Iterator[int]:
        """See Backend.stream."""
        closing = self._closing
        mailbox = Mailbox(request, lambda: cancelled() or closing.is_set())
        try:
            self._hand_in(mailbox)
            yield from mailbox.read()
        finally:
            mailbox.unwanted = True
        if closing.is_set():
            raise _closed()

    def _hand_in(self, mailbox: Mailbox) -> None:
        if self._closing.is_set():
            raise _closed()
        if self._process != os.getpid():
            raise Glm4Error(
                "The model was loaded before this process was forked, and its engine did not come along",
                "Load it in this process, or start processes with spawn.",
            )
        self._inbox.put(mailbox)

    def work(self, orders: Orders) -> None:
        """Write the replies of other orders in the thread that calls this, in the place of its own, until their end."""
        serve = self._serve
        if serve is None:
            raise _closed()
        self.close()
        serve(orders, threading.Event())

    def close(self) -> None:
        """See Backend.close."""
        self._serve = None
        self._end()


def _closed() -> Glm4Error:
    return Glm4Error("The model has been closed", "Load it again.")


def _end(thread: threading.Thread, inbox: Inbox, closing: threading.Event) -> None:
    """At the program's end too: an engine that would write on while Python goes away would take it down."""
    closing.set()
    inbox.put(None)
    if thread is not threading.current_thread():
        thread.join(_PATIENCE)
