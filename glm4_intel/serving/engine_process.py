"""The process that has the engine in it: one loop, and nothing beside it.

The loop is the engine's own (`backends.turns.Loop`). It takes its orders from a pipe between two steps, and what it
writes in a step goes back in one message. The process ends when the pipe does, however the other side ended.
"""

import logging
import queue
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from .. import model_directory
from ..backends import LoadOptions, Request
from ..backends.scoring import Scorer, Scores
from ..backends.turns import EngineThread, engine_failure
from ..devices import Machine
from ..errors import Glm4Error
from ..loading import load_as
from .wire import Frame, Kind, added_request, decode, scored_frame

_LOOK_UP = 0.005
"""Seconds between two looks at the pipe in the middle of a reply."""
_HEARTBEAT = 0.25
"""Seconds after which the loop says that it goes on, where it has nothing else to say."""


def run(pipe: Connection, directory: Path, options: LoadOptions, scoring: bool = False) -> None:
    """Load the model and write replies until the pipe ends. The target of the process.

    With `scoring` the model is loaded once more before it, so that what is planned after it sees the memory taken.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # the web process's, which lets replies end first
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING)
    port = Port(pipe)
    try:
        if scoring:
            port.scorer = Scorer(model_directory.read(directory), options, Machine())
        _serve(port, directory, options)
    except Glm4Error as error:
        port.tell(Frame(Kind.FAILED, data={"message": str(error), "hint": error.hint}))
    except (BrokenPipeError, EOFError, ConnectionResetError):
        pass  # nobody waits any more


def _serve(port: "Port", directory: Path, options: LoadOptions) -> None:
    def progress(stage: str, share: float | None) -> None:
        port.tell(Frame(Kind.LOADING, data={"stage": stage, "share": share}))

    runtime = load_as(directory, options, progress)
    engine = runtime.backend
    if not isinstance(engine, EngineThread):
        raise Glm4Error("This backend can't be served", "Use one of glm4-intel's own.")
    facts = {"context": runtime.context_length, "prompt_limit": runtime.prompt_limit, "device": runtime.device,
             "reason": runtime.device_reason, "cached_tokens": engine.cached_tokens,
             "scoring": port.scorer is not None}  # fmt: skip
    port.tell(Frame(Kind.READY, data=facts))
    engine.work(port)
    port.flush()


class Port:
    """The engine's end of the pipe: orders come in, and what is written goes out."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._orders: list[_Remote] = []
        self._replies: dict[int, _Remote] = {}
        self._leaving: list[Frame] = []
        self._scorings: dict[int, Iterator[Scores]] = {}
        self.scorer: Scorer | None = None
        self._told = self._looked = 0.0

    def get(self, block: bool = True) -> "_Remote | None":
        """See Orders.get. What was written since the last call is sent first."""
        try:
            while True:
                self.flush(idle=block)
                self._take(block and not self._orders and not self._scorings)
                self._score()
                if self._orders:
                    return self._orders.pop(0)
                if not block:
                    raise queue.Empty
        except (EOFError, OSError):
            return None

    def _score(self) -> None:
        """One piece of a text that is to be scored, beside the replies that are being written."""
        for number, pieces in list(self._scorings.items())[:1]:
            failure: BaseException | None = None
            try:
                scores = next(pieces, None)
            except Exception as error:  # whatever a library raises is that text's alone: replies go on beside it
                scores, failure = None, error
            if scores is not None:
                self.leave(scored_frame(number, scores))
            else:
                del self._scorings[number]
                self.leave(_end(number, failure))

    def tell(self, frame: Frame) -> None:
        """Send a frame now."""
        self._pipe.send_bytes(frame.encode())

    def leave(self, frame: Frame) -> None:
        """Send a frame with the others of this step."""
        self._leaving.append(frame)

    def ended(self, number: int) -> None:
        """Forget a reply."""
        self._replies.pop(number, None)

    def look(self) -> None:
        """Take what has come in, and send what was written, in the middle of a reply; now and then is enough."""
        now = time.monotonic()
        if now - self._looked < _LOOK_UP:
            return
        self._looked = now
        try:
            self._take(block=False)
            self.flush(idle=False)
        except (EOFError, OSError):
            for reply in self._replies.values():
                reply.cancelled = True

    def _take(self, block: bool) -> None:
        while block or self._pipe.poll():
            for frame in decode(self._pipe.recv_bytes()):
                self._obey(frame)
            block = False

    def _obey(self, frame: Frame) -> None:
        if frame.kind == Kind.ADD:
            reply = self._replies[frame.reply] = _Remote(self, frame.reply, added_request(frame))
            self._orders.append(reply)
        elif frame.kind == Kind.SCORE and self.scorer:
            self._scorings[frame.reply] = self.scorer.score(list(frame.ids), frame.data["top"])
        elif frame.reply in self._replies:
            self._replies[frame.reply].cancelled = True
        else:
            self._scorings.pop(frame.reply, None)

    def flush(self, idle: bool = True) -> None:
        """Send what was written; also where nothing was, if the loop is `idle` or has been silent for long."""
        now = time.monotonic()
        if self._leaving or idle or now - self._told > _HEARTBEAT:
            self._told = now
            live = [reply.share for reply in self._replies.values() if reply.share]
            self._leaving.append(Frame(Kind.ALIVE, data={"live": len(live), "cache": sum(live)}))
            self._pipe.send_bytes(b"".join(frame.encode() for frame in self._leaving))
            self._leaving = []


@dataclass
class _Remote:
    """A reply whose reader is in the other process. See Writing."""

    port: Port
    number: int
    request: Request
    cancelled: bool = False
    share: float = 0.0
    """Of the KV cache; 0 before it is being written."""
    beginning: dict[str, int] = field(default_factory=dict)
    """What is told with its first ids."""

    @property
    def over(self) -> bool:
        self.port.look()
        return self.cancelled

    def begin(self, share: float = 1.0, cached: int | None = None) -> None:
        self.share = share
        self.beginning = {} if cached is None else {"cached": cached}

    def write(self, ids: Sequence[int], logprobs: Sequence[float] = ()) -> None:
        told = logprobs if self.request.logprobs else ()
        beginning, self.beginning = self.beginning, {}
        self.port.leave(Frame(Kind.WROTE, self.number, ids, told, beginning))

    def finish(self, failure: BaseException | None = None) -> None:
        self.port.ended(self.number)
        self.port.leave(_end(self.number, failure))


def _end(number: int, failure: BaseException | None) -> Frame:
    """The end of an answer, with the fault that it ended with."""
    error = engine_failure(failure) if failure else None
    refused = isinstance(failure, Glm4Error)
    data = {"message": str(error), "hint": error.hint, "refused": refused} if error else {}
    return Frame(Kind.ENDED, number, data=data)
