"""The reference backend: optimum-intel's OVModelForCausalLM, with transformers' own logits processors.

Slower than the default and without prefix reuse; what the default is compared with.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from optimum.intel import OVModelForCausalLM
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from ..devices import device_error
from ..errors import Glm4Error
from ..generation import GenerationParams
from .base import EngineOptions


def create(directory: Path, device: str, properties: Mapping[str, Any], options: EngineOptions) -> "OptimumBackend":
    """Compile the model on the device. Raises Glm4Error if the device refuses it."""
    options.require_none_but("The backend optimum", "context")
    try:
        model = OVModelForCausalLM.from_pretrained(directory, device=device, ov_config=dict(properties))
    except RuntimeError as error:
        raise device_error(device, error) from error
    return OptimumBackend(model)


class OptimumBackend:
    """One stateful model; streams take turns."""

    prompt_limit: int | None = None

    def __init__(self, model: Any) -> None:
        self._model = model
        self._lock = threading.Lock()

    def stream(self, ids: Sequence[int], params: GenerationParams, cancelled: Callable[[], bool]) -> Iterator[int]:
        """See Backend.stream."""
        if params.presence_penalty or params.frequency_penalty:
            raise Glm4Error(
                "The backend optimum has no presence or frequency penalty", "Use the backend openvino_genai."
            )
        if params.guide:
            raise Glm4Error("The backend optimum can't guide a reply", "Use the backend openvino_genai.")
        processors, generator = _processors(params), torch.Generator()
        if params.seed is not None:
            generator.manual_seed(params.seed)
        known = torch.tensor([ids])
        feed, past = known, None
        with self._lock:
            for _ in range(params.max_new_tokens):
                if cancelled():
                    return
                output = self._model(feed, attention_mask=torch.ones_like(known), past_key_values=past, use_cache=True)
                past = output.past_key_values
                scores = processors(known, output.logits[:, -1].float())
                id = int(scores.argmax()) if params.greedy else _drawn(scores, generator)
                yield id
                if id in params.stop_ids:
                    return
                feed = torch.tensor([[id]])
                known = torch.cat([known, feed], dim=1)


def _processors(params: GenerationParams) -> LogitsProcessorList:
    """transformers' processors in the order in which its `generate` applies them."""
    chosen = LogitsProcessorList()
    if params.repetition_penalty != 1:
        chosen.append(RepetitionPenaltyLogitsProcessor(params.repetition_penalty))
    if params.greedy:
        return chosen
    chosen.append(TemperatureLogitsWarper(float(params.temperature)))
    if params.top_k:
        chosen.append(TopKLogitsWarper(params.top_k))
    if params.top_p < 1:
        chosen.append(TopPLogitsWarper(float(params.top_p)))
    if params.min_p:
        chosen.append(MinPLogitsWarper(float(params.min_p)))
    return chosen


def _drawn(scores: torch.Tensor, generator: torch.Generator) -> int:
    return int(torch.multinomial(scores.softmax(-1)[0], 1, generator=generator))
