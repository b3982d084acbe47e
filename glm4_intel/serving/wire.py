"""What the web process and an engine's process say to each other over a pipe.

A message is one or more frames. A frame is a head, then token ids (int32), logprobs (float32) and JSON, in that order
and of the lengths that the head tells. Nothing in it is code: a frame can't be more than its fields.
"""

import json
import struct
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any

from ..backends import Request
from ..backends.scoring import Scores
from ..chat.generation import GenerationParams
from ..chat.guide import Form, Guide

_HEAD = struct.Struct("<BIIII")
"""Kind, the reply's number, and the lengths: ids, logprobs, bytes of JSON."""
_ID, _LOGPROB = "i", "f"


class Kind(IntEnum):
    """What a frame says. ADD, CANCEL and SCORE go to the engine, the others come from it."""

    ADD = 1
    CANCEL = 2
    LOADING = 3
    READY = 4
    FAILED = 5
    """The model could not be loaded."""
    WROTE = 6
    ENDED = 7
    ALIVE = 8
    """How many replies are written and how much of the KV cache they may take; it also says that the loop goes on."""
    SCORE = 9
    """To the engine: how likely are a text's own tokens?"""
    SCORED = 10
    """A piece of the answer: the likeliest ids, then the logprobs of the text's own tokens and of those."""


@dataclass(frozen=True)
class Frame:
    """One thing that is said."""

    kind: Kind
    reply: int = 0
    ids: Sequence[int] = ()
    logprobs: Sequence[float] = ()
    data: dict[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The frame as it goes through the pipe."""
        ids, logprobs = array(_ID, self.ids).tobytes(), array(_LOGPROB, self.logprobs).tobytes()
        data = json.dumps(self.data).encode() if self.data else b""
        head = _HEAD.pack(self.kind, self.reply, len(self.ids), len(self.logprobs), len(data))
        return b"".join((head, ids, logprobs, data))


def decode(message: bytes) -> Iterator[Frame]:
    """The frames of a message."""
    at, view = 0, memoryview(message)
    while at < len(view):
        kind, reply, ids, logprobs, size = _HEAD.unpack_from(view, at)
        at += _HEAD.size
        ends = (at, at + 4 * ids, at + 4 * (ids + logprobs), at + 4 * (ids + logprobs) + size)
        data = json.loads(bytes(view[ends[2] : ends[3]])) if size else {}
        yield Frame(
            Kind(kind), reply, _numbers(_ID, view[ends[0] : ends[1]]), _numbers(_LOGPROB, view[ends[1] : ends[2]]), data
        )
        at = ends[3]


def _numbers(kind: str, data: memoryview) -> Sequence[Any]:
    numbers: array[Any] = array(kind)
    numbers.frombytes(data)
    return numbers


def add_frame(number: int, request: Request) -> Frame:
    """The order to write a reply."""
    data = {"params": asdict(request.params), "logprobs": request.logprobs, "adapter": request.adapter}
    if request.guide:
        data["guide"] = asdict(request.guide)
    return Frame(Kind.ADD, number, request.ids, data=data)


def scored_frame(number: int, scores: Scores) -> Frame:
    """A piece of a text's scores."""
    return Frame(Kind.SCORED, number, scores.ids, [*scores.following, *scores.logprobs])


def scores_of(frame: Frame) -> Scores:
    """The scores of such a piece."""
    own = len(frame.logprobs) - len(frame.ids)
    return Scores(frame.logprobs[:own], frame.ids, frame.logprobs[own:])


def added_request(frame: Frame) -> Request:
    """The request of such an order."""
    guide = frame.data.get("guide")
    return Request(
        ids=list(frame.ids), params=GenerationParams(**frame.data["params"]), logprobs=frame.data["logprobs"],
        guide=Guide(_forms(guide["forms"]), guide["thinking"], _forms(guide["calls"])) if guide else None,
        adapter=frame.data["adapter"],
    )  # fmt: skip


def _forms(told: Iterable[Mapping[str, Any]]) -> tuple[Form, ...]:
    return tuple(Form(**form) for form in told)
