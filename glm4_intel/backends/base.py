"""The contract of a backend: an engine plans, is made from its plan, and then takes token ids and gives token ids."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..chat.generation import GenerationParams
from ..chat.guide import Guide
from ..devices import Device, Footprint, Machine
from ..errors import Glm4Error
from ..fingerprint import Fingerprint
from ..model_directory import ModelDirectory
from .options import EngineOptions, LoadOptions


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a backend is given for one reply."""

    ids: Sequence[int]
    params: GenerationParams
    """With every stop token in `stop_token_ids`, and no more new tokens than the context has room for."""
    guide: Guide | None = None
    logprobs: bool = False
    """Whether the logarithm of each token's probability is asked for; an engine that has none refuses."""
    adapter: str | None = None
    """The name of one of the load's adapters, whose reply it is; None for the model's own."""

    def require_no_adapter(self) -> None:
        """For an engine that has no adapters. Raises Glm4Error where the reply names one."""
        if self.adapter is not None:
            raise Glm4Error(f"There is no adapter {self.adapter!r}", "This engine has none.")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """An engine's answer to a model directory, options and a machine: how it would be loaded, and what that takes."""

    directory: Path
    device: Device
    context: int
    """Tokens that prompt and reply have together."""
    cached_tokens: int
    """Tokens that the KV cache holds, of one conversation or of several."""
    footprint: Footprint
    """Bytes, by what they are for."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """OpenVINO's."""
    engine: EngineOptions = EngineOptions()
    """What was asked for, and for the rest what the profile has."""
    adapters: Mapping[str, Path] = field(default_factory=dict)
    """Folders of adapters by name, each for the replies that ask for it."""
    reason: str = ""
    """Why this device was taken; empty where it was asked for."""
    one_way: bool = False
    """Whether the second way for prompts, which the directory has, is left out."""
    note: str = ""
    """What is worth knowing of it, in a line."""


class Backend(Protocol):
    """An engine with a model in it. Text, prompts, stop rules and timing live above it."""

    prompt_limit: int | None
    """The longest prompt that the engine takes, where it is shorter than the context."""

    def stream(self, request: Request, cancelled: Callable[[], bool]) -> Iterator[int]:
        """The ids that follow the request's, up to and including the first of its stop tokens.

        Ends early, without an error, when `cancelled()` turns true. Several threads may stream at once. Raises
        Glm4Error for a request that the engine can't take, and once it is closed.
        """
        ...

    def close(self) -> None:
        """End what is being written and give the model's memory back. Closing again does nothing."""
        ...


class Engine(Protocol):
    """What a backend's module offers; nothing else of it is known outside."""

    def plan(self, directory: ModelDirectory, options: LoadOptions, machine: Machine) -> Plan:
        """How this engine would load a directory. Raises Glm4Error where it can't: one line, and what next."""
        ...

    def create(self, plan: Plan) -> Backend:
        """The engine with the model in it. Raises Glm4Error where the engine or the device refuses."""
        ...

    def fingerprint(self, directory: Path, recipe: Mapping[str, Any], thorough: bool = False) -> Fingerprint:
        """What a directory computes for fixed ids. Raises Glm4Error where it can't.

        `thorough` loads the whole model, where the fingerprint itself is of a part of it."""
        ...
