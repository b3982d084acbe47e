"""How a model is loaded: what may be asked of a load, and of an engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from ..errors import Glm4Error

HistoryPolicy = Literal["refuse", "trim"]
"""What happens to a conversation that outgrows its context: an error, or its oldest exchanges are left out."""


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How an engine is set up, besides the device's properties. A backend refuses what it does not have.

    What is None is left to the profile.
    """

    context: int | None = None
    """Tokens of prompt and reply together; None for as many as the model and the memory have room for."""
    prompt_lookup: bool | None = None
    """Guess the next tokens from the prompt's own phrases and check them in one pass: the same reply, sooner."""
    draft_model: Path | None = None
    """A smaller model's directory, with the same tokenizer, that guesses the next tokens: the same reply."""
    sparse_attention: bool = False
    """Let a long prompt's tokens attend to its beginning and to the 1,920 tokens before them alone."""
    kv_eviction: int | None = None
    """Keep this many tokens of the KV cache, the most attended to; the others are forgotten."""
    continuous_batching: bool | None = None
    """Write several replies at once, in one pass over the weights for each of their next tokens."""
    max_batched_tokens: int | None = None
    """Prompt tokens computed in one step: fewer steps are faster, and a reply can be cancelled between two of them."""
    blob: Path | None = None
    """NPU: take the compiled model from this file, or, if there is none, compile it and keep it there."""

    def __post_init__(self) -> None:
        for name, least in (("context", 64), ("kv_eviction", 256), ("max_batched_tokens", 32)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise Glm4Error(f"{name} is {value}", f"It must be {least} or more tokens.")
        if self.kv_eviction is not None and self.kv_eviction % 32:
            raise Glm4Error(f"kv_eviction is {self.kv_eviction}", "It must be a multiple of 32.")
        if self.draft_model and self.prompt_lookup:
            raise Glm4Error("A draft model and prompt lookup can't be used together", "Choose either of them.")
        if self.continuous_batching and (self.draft_model or self.prompt_lookup):
            raise Glm4Error(
                "Several replies at once can't be guessed ahead", "Leave out --draft-model and --prompt-lookup."
            )

    def require_none_but(self, backend: str, *allowed: str) -> None:
        """Raises Glm4Error if an option is set that a backend does not have."""
        for each in fields(self):
            if each.name not in allowed and getattr(self, each.name):
                raise Glm4Error(f"{backend} has no option {each.name}", "Leave it out, or use the default backend.")


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How a model directory is loaded; see `glm4_intel.load`."""

    device: str = "AUTO"
    backend: str | None = None
    """Overrides the one that the directory was made for."""
    profile: str = "chat"
    properties: Mapping[str, Any] = field(default_factory=dict)
    """OpenVINO's own, over the profile's."""
    engine: EngineOptions = EngineOptions()
    adapters: Mapping[str, Path] = field(default_factory=dict)
    """Folders of adapters by name; a reply names its own."""
    adapter: str | None = None
    """That of replies that name none; a reply asks for the model itself by the empty name."""
    history: HistoryPolicy = "refuse"
    warmup: bool = True
    ignore_limits: bool = False
    """Load even where memory seems too small."""
    huge_pages: bool = True
    """Move the repacked weights into Linux's huge pages after warming up."""

    def __post_init__(self) -> None:
        if "" in self.adapters:
            raise Glm4Error("An adapter has no name", "Name it: the empty name is the model itself.")
        if self.adapter is not None and self.adapter not in self.adapters:
            raise Glm4Error(
                f"There is no adapter {self.adapter!r}", f"Given are: {', '.join(self.adapters) or 'none'}."
            )

    def require_no_adapters(self, engine: str, instead: str = "") -> None:
        """Raises Glm4Error where adapters are given to an engine that can't choose one for each reply; the hint names
        what can `instead`, such as another device."""
        if self.adapters:
            raise Glm4Error(
                f"{engine} can't choose an adapter for each reply",
                f"{instead}Merge one into the weights: glm4-intel export CHECKPOINT OUT --adapter DIR",
            )

    def with_absolute_paths(self) -> "LoadOptions":
        """The same load for a process that works in another folder."""
        engine = replace(self.engine, draft_model=_absolute(self.engine.draft_model), blob=_absolute(self.engine.blob))
        adapters = {name: folder.expanduser().absolute() for name, folder in self.adapters.items()}
        return replace(self, engine=engine, adapters=adapters)


def _absolute(path: Path | None) -> Path | None:
    return path.expanduser().absolute() if path else None
