"""The contract of a backend: token ids in, token ids out, one at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from ..errors import Glm4Error
from ..generation import GenerationParams


@dataclass(frozen=True)
class EngineOptions:
    """How an engine is set up, besides the device's properties. A backend refuses what it does not have."""

    context: int | None = None
    """Tokens of prompt and reply together; None for as many as the model and the memory have room for."""
    prompt_lookup: bool | None = None
    """Guess the next tokens from the prompt's own phrases and check them in one pass: the same reply, sooner.

    None leaves it to the profile: long-prompt does.
    """
    draft: Path | None = None
    """A smaller model's directory, with the same tokenizer, that guesses the next tokens: the same reply."""
    sparse_attention: bool = False
    """Let a long prompt's tokens attend to its beginning and to the 1,920 tokens before them alone."""
    kv_eviction: int | None = None
    """Keep this many tokens of the KV cache, the most attended to; the others are forgotten."""
    batch: bool | None = None
    """Write several replies at once, in one pass over the weights for each of their next tokens.

    None leaves it to the profile: throughput does.
    """
    prefill: int | None = None
    """Prompt tokens computed in one step: fewer steps are faster, and a reply can be cancelled between two of them.

    None leaves it to the profile: long-prompt takes four times as many as chat.
    """
    blob: Path | None = None
    """NPU: take the compiled model from this file, or, if there is none, compile it and keep it there."""

    def __post_init__(self) -> None:
        if self.context is not None and self.context < 64:
            raise Glm4Error(f"context is {self.context}", "It must be 64 or more tokens.")
        if self.kv_eviction is not None and (self.kv_eviction < 256 or self.kv_eviction % 32):
            raise Glm4Error(
                f"kv_eviction is {self.kv_eviction}", "It must be a multiple of 32, and 256 or more tokens."
            )
        if self.prefill is not None and self.prefill < 32:
            raise Glm4Error(f"prefill is {self.prefill}", "It must be 32 or more tokens.")
        if self.draft and self.prompt_lookup:
            raise Glm4Error("A draft model and prompt lookup can't be used together", "Choose either of them.")
        if self.batch and (self.draft or self.prompt_lookup):
            raise Glm4Error("Several replies at once can't be guessed ahead", "Leave out --draft and --prompt-lookup.")

    def require_none_but(self, backend: str, *allowed: str) -> None:
        """Raises Glm4Error if an option is set that a backend does not have."""
        for field in fields(self):
            if field.name not in allowed and getattr(self, field.name):
                raise Glm4Error(
                    f"{backend} has no option {field.name}", "Leave it out, or use openvino_genai on a CPU."
                )


class Backend(Protocol):
    """An engine with a model in it. Text, prompts, stop rules and timing live above it."""

    prompt_limit: int | None
    """The longest prompt that the engine takes, where it is shorter than the context."""

    def stream(self, ids: Sequence[int], params: GenerationParams, cancelled: Callable[[], bool]) -> Iterator[int]:
        """The ids that follow `ids`, up to and including the first of `params.stop_ids`.

        Ends early, without an error, when `cancelled()` turns true. Several threads may stream at once.
        """
        ...


class BackendFactory(Protocol):
    """How a backend is made from a model directory. Raises Glm4Error where the engine or the device refuses."""

    def __call__(
        self, directory: Path, device: str, properties: Mapping[str, Any], options: EngineOptions
    ) -> Backend: ...
