"""From a model directory to a runtime: its engine plans, memory is counted, the model is compiled and warmed up."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from . import model_directory
from .backends import Backend, Engine, EngineOptions, LoadOptions, Plan, engine_for
from .backends.options import HistoryPolicy
from .chat.conversation import Conversation
from .chat.generation import GenerationParams
from .chat.tokenizer import ChatTokenizer
from .devices import Machine
from .errors import Glm4Error
from .machine import huge_pages
from .machine.memory import own_memory
from .model_directory import ModelDirectory
from .runtime import Runtime

__all__ = ["LoadOptions", "Progress", "load", "load_as", "load_in_place_of"]

log = logging.getLogger(__name__)

Progress = Callable[[str, float | None], None]
"""Called with a stage of loading and the share of it that is done, None where that can't be known."""


def load(
    path: str | Path,
    device: str = "AUTO",
    backend: str | None = None,
    profile: str = "chat",
    properties: Mapping[str, Any] | None = None,
    *,
    engine: EngineOptions | None = None,
    adapters: Mapping[str, str | Path] | None = None,
    adapter: str | None = None,
    history: HistoryPolicy = "refuse",
    warmup: bool = True,
    ignore_limits: bool = False,
    huge_pages: bool = True,
    progress: Progress | None = None,
) -> Runtime:
    """A runtime for a model directory on a device: CPU, GPU, GPU.1, NPU, or AUTO for the best there is.

    `profile` chooses the device's properties and the engine's options (`devices.PROFILES`); `properties` are
    OpenVINO's own, over those. `adapters` are folders that PEFT wrote, by names of your own; a reply takes the one that
    it names, or `adapter`, in one batch with others (CPU). `history` says what happens to a conversation that outgrows
    its context: "refuse" or "trim". `warmup` computes two tokens, in which the engine repacks the weights, so that the
    first message is answered at full speed; after it, on Linux and a CPU, `huge_pages` moves them into pages of 2 MiB,
    which makes decoding faster. `ignore_limits` loads even where memory seems too small. `close` the runtime, or use it
    with `with`, to give its memory back. Raises Glm4Error if the directory, the device, the memory or the engine
    refuses.
    """
    options = LoadOptions(
        device=device, backend=backend, profile=profile, properties=dict(properties or {}),
        engine=engine or EngineOptions(), history=history, warmup=warmup, ignore_limits=ignore_limits,
        huge_pages=huge_pages, adapters={name: Path(each) for name, each in (adapters or {}).items()}, adapter=adapter,
    )  # fmt: skip
    return load_as(path, options, progress)


def load_as(path: str | Path, options: LoadOptions, progress: Progress | None = None) -> Runtime:
    """`load` with its options in one piece."""
    return _load(model_directory.read(path), options, Machine(), progress or _silent)


def load_in_place_of(
    runtime: Runtime | None, path: str | Path, options: LoadOptions, progress: Progress | None = None
) -> Runtime:
    """`load_as` in the place of a runtime, which is closed first: two models are never in memory.

    What can be known beforehand is found out while the old one still runs, and it stays where that raises Glm4Error.
    """
    directory = model_directory.read(path)
    if runtime is not None:
        engine_for(directory, options.backend).plan(directory, replace(options, ignore_limits=True), Machine())
        runtime.close()
    return _load(directory, options, Machine(), progress or _silent)


def _load(directory: ModelDirectory, options: LoadOptions, machine: Machine, progress: Progress) -> Runtime:
    engine, before = engine_for(directory, options.backend), huge_pages.private_regions()
    plan = engine.plan(directory, options, machine)
    if plan.note:
        log.warning("%s", plan.note)
    tokenizer = ChatTokenizer.from_directory(directory.path)
    defaults = GenerationParams.from_generation_config(directory.generation)
    plan, backend = _created(engine, plan, directory, options, machine, progress)
    runtime = Runtime(
        tokenizer, backend, defaults=defaults, context_length=plan.context, device=plan.device.name,
        device_reason=plan.reason, history=options.history, adapter=options.adapter,
    )  # fmt: skip
    if options.warmup:
        warm_up(runtime, plan.footprint.weights, progress)
        if options.huge_pages and plan.device.kind == "CPU":
            huge_pages.collapse_since(before, partial(progress, "moving the weights into huge pages"))
    return runtime


def _created(
    engine: Engine, plan: Plan, directory: ModelDirectory, options: LoadOptions, machine: Machine, progress: Progress
) -> tuple[Plan, Backend]:
    """The backend, and the plan that it was made from; AUTO falls back to the CPU."""
    progress(f"compiling for {plan.device.name}", None)
    try:
        return plan, engine.create(plan)
    except Glm4Error as error:
        if not plan.reason or plan.device.kind == "CPU":
            raise
        log.warning("%s; the CPU takes its place", error)
    failed = f"{plan.device.name} failed"
    plan = replace(engine.plan(directory, replace(options, device="CPU"), machine), reason=failed)
    progress(f"compiling for {plan.device.name}", None)
    return plan, engine.create(plan)


def _silent(stage: str, share: float | None) -> None:
    """No progress is shown."""


def warm_up(runtime: Runtime, weights: int, progress: Progress) -> None:
    """Compute two tokens, in which the engine repacks `weights` bytes; the memory that this takes is the progress."""
    ids = Conversation.parse([{"role": "user", "content": "Hello"}]).render(runtime.tokenizer)
    done, before = threading.Event(), own_memory()

    def watch() -> None:
        while not done.wait(0.2):
            progress("warming up", min(1.0, (own_memory() - before) / max(weights, 1)))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        for _ in runtime.stream_ids(ids, temperature=0, max_new_tokens=2, ignore_eos=True):
            pass
    finally:
        done.set()
        watcher.join()
