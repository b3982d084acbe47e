"""The contract of a backend: token ids in, token ids out, one at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..generation import GenerationParams


class Backend(Protocol):
    """An engine with a model in it. Text, prompts, stop rules and timing live above it."""

    def stream(self, ids: Sequence[int], params: GenerationParams, cancelled: Callable[[], bool]) -> Iterator[int]:
        """The ids that follow `ids`, up to and including the first of `params.stop_ids`.

        Ends early, without an error, when `cancelled()` turns true. Several threads may stream at once.
        """
        ...


class BackendFactory(Protocol):
    """How a backend is made from a model directory. Raises Glm4Error where the engine or the device refuses."""

    def __call__(self, directory: Path, device: str, properties: Mapping[str, Any]) -> Backend: ...
