"""How likely each token of a text is, from the model's own logits: what the pipelines, which write replies, don't tell.

The model is in memory a second time for it, as the stateful graph that the directory holds, with a cache that ends with
each text. Where a directory has a way of its own for prompts, in int8, texts are read in int4, as replies are written.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..devices import Machine, device_error, footprint
from ..errors import Glm4Error
from ..model_directory import ModelDirectory
from .one_way import in_one_way
from .openvino_ir import MODEL, chosen, model_inputs
from .options import LoadOptions

_AT_ONCE = 128
"""Tokens of a pass. Their logits are 78 MB for GLM-4's vocabulary, and what is computed beside waits for no more."""
_GIGABYTE = 1e9


@dataclass(frozen=True)
class Scores:
    """What a pass over some tokens tells of the tokens that follow each of them."""

    following: Sequence[float]
    """Logarithms of the probability of the token that follows; none for the text's last."""
    ids: Sequence[int]
    """The likeliest tokens at each place, so many for each, the likeliest first."""
    logprobs: Sequence[float]
    """Theirs."""


class Scorer:
    """A model that reads."""

    def __init__(self, directory: ModelDirectory, options: LoadOptions, machine: Machine) -> None:
        """Raises Glm4Error where there is no such graph, memory does not suffice, or the device refuses."""
        import openvino

        _require_graph(directory)
        choice, properties = chosen(directory, options, machine)
        weights = footprint.one_way_bytes(directory)
        if not options.ignore_limits:
            _require_room(weights, machine.room_on(choice.device))
        two_ways = weights < footprint.weights_bytes(directory.path)
        try:
            with in_one_way(directory.path) if two_ways else nullcontext(directory.path) as folder:
                compiled = openvino.Core().compile_model(folder / MODEL, choice.device.name, properties)
            self._request: Any = compiled.create_infer_request()
            list(self.score([0, 0], 1))  # the engine repacks the weights now, not at the first text
        except RuntimeError as error:
            raise device_error(choice.device.name, error) from error

    def score(self, ids: Sequence[int], top: int) -> Iterator[Scores]:
        """The scores of a text, a pass at a time. A text that is begun before another has ended takes its place."""
        self._request.reset_state()
        for start in range(0, len(ids), _AT_ONCE):
            piece = ids[start : start + _AT_ONCE]
            logits = np.array(self._request.infer(model_inputs(piece, start))["logits"][0], dtype=np.float32)
            yield _scores(logits, ids[start + 1 : start + 1 + len(piece)], top)


def _require_graph(directory: ModelDirectory) -> None:
    if not (directory.path / MODEL).is_file():
        raise Glm4Error(f"A model for the backend {directory.backend} scores no texts", "Leave --scoring out.")


def _require_room(weights: int, room: int) -> None:
    if weights > room:
        raise Glm4Error(
            f"Scoring takes the model a second time, {weights / _GIGABYTE:.1f} GB, and there are "
            f"{room / _GIGABYTE:.1f} GB", "Leave --scoring out.",
        )  # fmt: skip


def _scores(logits: np.ndarray, following: Sequence[int], top: int) -> Scores:
    """Of logits [tokens, vocabulary] and the ids that follow them, which may be one fewer."""
    logits -= logits.max(axis=-1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    likeliest = np.argpartition(-logits, top, axis=-1)[:, :top]
    order = np.argsort(-np.take_along_axis(logits, likeliest, axis=-1), axis=-1, kind="stable")
    likeliest = np.take_along_axis(likeliest, order, axis=-1)
    taken = logits[np.arange(len(following)), np.array(following, dtype=np.int64)] if len(following) else ()
    return Scores(
        [float(each) for each in taken],
        likeliest.ravel().tolist(),
        np.take_along_axis(logits, likeliest, axis=-1).ravel().tolist(),
    )
