"""The reference backend: optimum-intel's OVModelForCausalLM.

Slower than the default and without prefix reuse; what the default is compared with.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from optimum.intel import OVModelForCausalLM

from ..devices import device_error
from ..generation import GenerationParams
from .base import EngineOptions
from .sampling import refuse_unsampled, sample


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
        refuse_unsampled("optimum", params)
        past, length = None, 0

        def read(feed: Sequence[int]) -> torch.Tensor:
            nonlocal past, length
            length += len(feed)
            mask = torch.ones((1, length), dtype=torch.int64)
            output = self._model(torch.tensor([feed]), attention_mask=mask, past_key_values=past, use_cache=True)
            past = output.past_key_values
            return output.logits[0, -1]

        with self._lock:
            yield from sample(read, ids, params, cancelled)
