"""From a model directory to a runtime: the device is chosen, memory counted, the model compiled and warmed up."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from . import artifact, huge_pages
from .artifact import ModelDirectory
from .backends import Backend, BackendFactory, EngineOptions, backend_factory
from .devices import (
    Choice,
    Device,
    check_properties,
    choose,
    discover,
    footprint,
    processor_device,
    require,
    room_on,
)
from .devices import properties as properties_for
from .errors import Glm4Error
from .generation import GenerationParams
from .memory import own_memory
from .prompt import Prompt
from .runtime import HistoryPolicy, Runtime
from .tools import ReplyStream

_LONG_PREFILL = 4096
"""Prompt tokens that long-prompt computes in one step."""

log = logging.getLogger(__name__)

Progress = Callable[[str, float | None], None]
"""Called with a stage of loading and the share of it that is done, None where that can't be known."""


@dataclass(frozen=True)
class LoadOptions:
    """How a model directory is loaded; see `load`."""

    device: str = "AUTO"
    backend: str | None = None
    """Overrides the one that the directory was made for."""
    profile: str = "chat"
    properties: Mapping[str, Any] = field(default_factory=dict)
    """OpenVINO's own, over the profile's."""
    engine: EngineOptions = EngineOptions()
    history: HistoryPolicy = "refuse"
    warmup: bool = True
    force: bool = False
    """Load even where memory seems too small."""
    huge_pages: bool = True
    """Move the repacked weights into Linux's huge pages after warming up."""


def load(
    path: str | Path,
    device: str = "AUTO",
    backend: str | None = None,
    profile: str = "chat",
    properties: Mapping[str, Any] | None = None,
    *,
    engine: EngineOptions | None = None,
    history: HistoryPolicy = "refuse",
    warmup: bool = True,
    force: bool = False,
    huge_pages: bool = True,
    progress: Progress | None = None,
) -> Runtime:
    """A runtime for a model directory on a device: CPU, GPU, GPU.1, NPU, or AUTO for the best there is.

    `profile` chooses the device's properties (`devices.PROFILES`); `properties` are OpenVINO's own, over those.
    `history` says what happens to a conversation that outgrows its context: "refuse" or "trim". `warmup` computes two
    tokens, in which the engine repacks the weights, so that the first message is answered at full speed; after it, on
    Linux and a CPU, `huge_pages` moves them into pages of 2 MiB, which makes decoding faster.
    Raises Glm4Error if the directory, the device, the memory or the engine refuses.
    """
    options = LoadOptions(
        device, backend, profile, dict(properties or {}), engine or EngineOptions(), history, warmup, force, huge_pages
    )
    return load_as(path, options, progress)


def load_as(path: str | Path, options: LoadOptions, progress: Progress | None = None) -> Runtime:
    """`load` with its options in one piece."""
    return Loader(artifact.read(path), options, progress or (lambda stage, share: None)).load()


class Loader:
    """One load of one model directory."""

    def __init__(self, directory: ModelDirectory, options: LoadOptions, progress: Progress) -> None:
        self._directory, self._options, self._progress = directory, options, progress

    def load(self) -> Runtime:
        """See `load`."""
        factory = backend_factory(self._backend)
        choice, before = self._choice(), huge_pages.private_regions()
        prompt = Prompt.from_directory(self._directory.path)
        backend, choice, context = self._compiled(choice, factory)
        defaults = GenerationParams.from_generation_config(self._directory.generation)
        runtime = Runtime(prompt, backend, defaults, context, choice.device.name, choice.reason, self._options.history)
        if self._options.warmup:
            warm_up(runtime, footprint.weights_bytes(self._directory), self._progress)
            if self._options.huge_pages and choice.device.kind == "CPU":
                huge_pages.collapse_since(before, partial(self._progress, "moving the weights into huge pages"))
        return runtime

    def _choice(self) -> Choice:
        """The device, with AUTO's reason; the reason is empty where the device was asked for by name."""
        options = self._options
        if "itrex" in (self._backend, self._directory.backend):
            self._require_itrex_alone()
            return Choice(processor_device(), "")
        if options.device.upper() == "AUTO":
            return choose(self._directory, discover())
        if options.device.upper() == "NPU" and "NPUW_DEVICES" in options.properties:  # another device computes for it
            return Choice(replace(require(str(options.properties["NPUW_DEVICES"])), name="NPU"), "")
        return Choice(require(options.device), "")

    def _compiled(self, choice: Choice, factory: BackendFactory) -> tuple[Backend, Choice, int]:
        """The backend, the device that took the model, and its context; AUTO falls back to the CPU."""
        try:
            return self._on(choice, factory)
        except Glm4Error as error:
            if not choice.reason or choice.device.kind == "CPU":
                raise
            log.warning("%s; the CPU takes its place", error)
            return self._on(Choice(require("CPU"), f"{choice.device.name} failed"), factory)

    def _on(self, choice: Choice, factory: BackendFactory) -> tuple[Backend, Choice, int]:
        options, name = self._options, choice.device.name
        self._require_fit(name)
        properties = self._properties(name)
        context = self._context(choice.device, str(properties.get("KV_CACHE_PRECISION", "f16")))
        bounded = context if context < self._directory.context_length else options.engine.context
        self._progress(f"compiling for {name}", None)
        engine = replace(self._engine_options(name), context=bounded)
        backend = factory(self._directory.path, name, properties, engine)
        return backend, choice, context

    def _engine_options(self, device: str) -> EngineOptions:
        """What was asked for, and for the rest what the profile has."""
        engine = self._options.engine
        batch, lookup = engine.batch, engine.prompt_lookup
        if device.startswith("NPU") or self._backend != "openvino_genai":
            return replace(engine, batch=bool(batch), prompt_lookup=bool(lookup))
        if batch is None:
            batch = self._options.profile == "throughput" and not engine.draft and not lookup
        if lookup is None:
            lookup = self._options.profile == "long-prompt" and not engine.draft and not batch
        prefill = engine.prefill or (_LONG_PREFILL if self._options.profile == "long-prompt" and not batch else None)
        return replace(engine, batch=batch, prompt_lookup=lookup, prefill=prefill)

    @property
    def _backend(self) -> str:
        return self._options.backend or self._directory.backend

    def _require_itrex_alone(self) -> None:
        """ITREX has neither devices nor properties nor profiles, and its weights are its own."""
        options, made_for = self._options, self._directory.backend
        if self._backend != made_for:
            hint = "Leave --backend out." if made_for == "itrex" else "Make one: glm4-intel quantize SOURCE OUT"
            raise Glm4Error(f"{self._directory.path} is a model directory for the backend {made_for}", hint)
        for name, given, none in (("device", options.device.upper(), ("AUTO", "CPU")),
                                  ("profile", options.profile, ("chat",)),
                                  ("property", next(iter(options.properties), ""), ("",))):  # fmt: skip
            if given not in none:
                raise Glm4Error(f"The backend itrex has no {name} {given}", "It runs on the CPU, in one way: leave it.")

    def _properties(self, device: str) -> dict[str, Any]:
        """The profile's and those asked for."""
        if self._backend == "itrex":
            return {}
        check_properties(device, self._options.properties)
        return properties_for(device, self._options.profile) | dict(self._options.properties)

    def _require_fit(self, device: str) -> None:
        """Whether the directory was made for such a device."""
        manifest = self._directory.manifest
        if device.startswith("NPU") and manifest and "NPU" not in manifest.targets:
            raise Glm4Error(
                f"{self._directory.path} was made by the recipe {manifest.recipe.get('name')}, which an NPU can't run",
                "Export it again with --recipe npu, or use --device CPU.",
            )

    def _context(self, device: Device, precision: str) -> int:
        """Tokens of context: what was asked for, or what the model and the memory have room for."""
        longest, asked = self._directory.context_length, self._options.engine.context
        if asked and asked > longest:
            raise Glm4Error(f"The model's context is {longest:,} tokens, not {asked:,}", "Give a shorter --context.")
        if device.kind == "NPU":
            from .backends.genai.static import DEFAULT_CONTEXT

            return asked or min(longest, DEFAULT_CONTEXT)
        room, wanted = room_on(device), asked or min(footprint.USEFUL_CONTEXT, longest)
        fits = footprint.longest_context(self._directory, room, precision)
        if fits < wanted and not self._options.force:
            needed = footprint.memory_needed(self._directory, wanted, precision)
            raise Glm4Error(
                f"{self._directory.path} with {wanted:,} tokens of context needs about {needed / 1e9:.1f} GB of "
                f"memory on {device.name}, and {room / 1e9:.1f} GB are available",
                "Close other programs, or give a shorter --context or a smaller model; --force tries all the same.",
            )
        return asked or min(longest, max(fits, wanted))


def warm_up(runtime: Runtime, weights: int, progress: Progress) -> None:
    """Compute two tokens, in which the engine repacks `weights` bytes; the memory that this takes is the progress."""
    ids = runtime.prompt.encode([{"role": "user", "content": "Hello"}])
    done, before = threading.Event(), own_memory()

    def watch() -> None:
        while not done.wait(0.2):
            progress("warming up", min(1.0, (own_memory() - before) / max(weights, 1)))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        for _ in runtime.stream_ids(ids, ReplyStream(), temperature=0, max_new_tokens=2, ignore_stop=True):
            pass
    finally:
        done.set()
        watcher.join()
