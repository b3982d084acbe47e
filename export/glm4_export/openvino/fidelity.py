"""How far a compressed model is from its checkpoint, over a text: agreement, KL divergence, perplexity."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from openvino import Core
from transformers import PreTrainedModel

from glm4_intel.backends.openvino_ir import next_logits
from glm4_intel.devices import properties

_AT_ONCE = 64
"""Positions whose logits are held at a time: 64 of 151,552 are 39 MB."""


@dataclass(frozen=True)
class Fidelity:
    """The export against the uncompressed checkpoint, where both read the same text.

    `agreement`: the share of tokens after which both hold the same next one likeliest. `kl_divergence`: nats a token,
    of the export from the original. The perplexities are of the text, under each.
    """

    tokens: int
    agreement: float
    kl_divergence: float
    perplexity: float
    original_perplexity: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Reference:
    """A text in windows, and the original's last hidden states [tokens, width] for each."""

    windows: list[list[int]]
    hidden: list[torch.Tensor]
    head: torch.nn.Module


def reference(model: PreTrainedModel, texts: list[list[int]], advance: Callable[[int], None]) -> Reference:
    """What the original makes of the windows, in its own precision. `advance` is told 1 for each layer that is done."""
    hidden = hidden_states(model, texts, advance)
    return Reference(texts, [states[: len(text)] for states, text in zip(hidden, texts, strict=True)], model.lm_head)


def hidden_states(model: PreTrainedModel, texts: list[list[int]], advance: Callable[[int], None]) -> torch.Tensor:
    """The last hidden states [texts, tokens of the longest, width], `advance` as for `reference`.

    All texts go through a layer before the next one is touched, so that weights that don't fit into memory are read
    from their file once, layer after layer.
    """
    longest = max(map(len, texts))
    rows = torch.tensor([text + [text[-1]] * (longest - len(text)) for text in texts])
    hooks = [layer.register_forward_hook(lambda *_: advance(1)) for layer in model.model.layers]
    try:
        with torch.inference_mode():
            states: torch.Tensor = model.model(rows, use_cache=False).last_hidden_state
    finally:
        for hook in hooks:
            hook.remove()
    return states


def compare(directory: Path, original: Reference, at_once: int | None = None) -> Fidelity:
    """The exported IR against the reference, on the CPU in full precision apart from what the IR quantizes.

    It reads a window in one pass, or in passes of `at_once` tokens.
    """
    compiled = Core().compile_model(directory / "openvino_model.xml", "CPU", properties("CPU", "accurate"))
    request = compiled.create_infer_request()
    same = divergence = loss = original_loss = 0.0
    count = predicted = 0
    for ids, hidden in zip(original.windows, original.hidden, strict=True):
        logits = next_logits(request, ids, at_once)
        for first in range(0, len(ids), _AT_ONCE):
            with torch.inference_mode():
                right = torch.log_softmax(original.head(hidden[first : first + _AT_ONCE]).float(), -1)
            ours = torch.log_softmax(torch.from_numpy(logits[first : first + _AT_ONCE]), -1)
            same += float((right.argmax(-1) == ours.argmax(-1)).sum())
            divergence += float((right.exp() * (right - ours)).sum())
            count += len(right)
            following = torch.tensor(ids[first + 1 : first + _AT_ONCE + 1])
            places = torch.arange(len(following))
            original_loss -= float(right[places, following].sum())
            loss -= float(ours[places, following].sum())
            predicted += len(following)
    return Fidelity(
        count,
        round(same / count, 4),
        round(divergence / count, 6),
        round(float(np.exp(loss / predicted)), 3),
        round(float(np.exp(original_loss / predicted)), 3),
    )
