"""A reply drawn from logits in PyTorch, with transformers' own logits processors: for backends without a sampler."""

from collections.abc import Callable, Iterator, Sequence

import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from ..chat.generation import GenerationParams
from ..errors import Glm4Error
from .base import Request

Read = Callable[[Sequence[int]], torch.Tensor | None]
"""Computes ids behind all those before and returns the logits [vocabulary] after the last; None if it was cancelled."""


def refuse_unsampled(backend: str, request: Request) -> None:
    """Raises Glm4Error for what the sampling here does not have, and for an adapter."""
    request.require_no_adapter()
    if request.params.presence_penalty or request.params.frequency_penalty:
        raise Glm4Error(f"The backend {backend} has no presence or frequency penalty", "Use the default backend.")
    if request.guide:
        raise Glm4Error(f"The backend {backend} can't guide a reply", "Use the default backend.")


def sample(read: Read, request: Request, cancelled: Callable[[], bool], known: int = 0) -> Iterator[int]:
    """The reply to a request, of whose ids the model has read the first `known`. See Backend.stream."""
    params = request.params
    processors, generator = _processors(params), torch.Generator()
    if params.seed is not None:
        generator.manual_seed(params.seed)
    text, feed = torch.tensor([list(request.ids)]), list(request.ids[known:])
    for _ in range(params.max_new_tokens):
        if cancelled() or (logits := read(feed)) is None:
            return
        scores = processors(text, logits[None].float())
        id = int(scores.argmax()) if params.greedy else _drawn(scores, generator)
        yield id
        if id in params.stop_token_ids:
            return
        feed = [id]
        text = torch.cat([text, torch.tensor([feed])], dim=1)


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
