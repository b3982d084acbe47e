"""Speed and memory of loaded models: the figures behind `glm4-intel bench`."""

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import model_directory
from ..devices import footprint
from ..errors import Glm4Error
from ..loading import LoadOptions, load_as
from ..machine import huge_pages
from ..machine.bandwidth import read_bandwidth
from ..machine.memory import own_memory
from ..model_directory import ModelDirectory
from ..runtime import Runtime


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is measured of each contestant."""

    prompt_lengths: tuple[int, ...] = (32, 512)
    new_tokens: int = 32
    runs: int = 3
    concurrency: int = 1
    """Replies at once."""

    @property
    def steps(self) -> int:
        """How often a contestant tells what it does: at loading, and at each run."""
        return 1 + len(self.prompt_lengths) * (self.runs + 1)

    def __post_init__(self) -> None:
        for name, least in (("new_tokens", 2), ("runs", 1), ("concurrency", 1)):
            if getattr(self, name) < least:
                raise Glm4Error(f"{name} is {getattr(self, name)}", f"It must be {least} or more.")
        if not self.prompt_lengths or min(self.prompt_lengths) < 1:
            raise Glm4Error("prompt_lengths must be whole numbers from 1", "For example: --prompt-lengths 32,512,2048")


@dataclass(frozen=True)
class Measured:
    """Medians for one prompt length: seconds, tokens a second of all replies together, share of the bandwidth."""

    prompt_tokens: int
    time_to_first_token: float
    time_per_token: float
    tokens_per_second: float
    bandwidth_share: float
    """Bytes of weights and KV cache that decoding reads in a second, over what this machine's memory can give."""


@dataclass(frozen=True)
class Result:
    """A contestant's figures: seconds, and bytes of memory that this process has taken for it."""

    name: str
    device: str
    load: float
    cold_time_to_first_token: float
    memory: int
    read_bandwidth: float
    """Bytes a second that memory gave just before: what else the machine did slows this too."""
    measured: tuple[Measured, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Contestant:
    """A model directory and a way to load it; measured by itself, so that two models are never in memory."""

    def __init__(self, name: str, path: Path, options: LoadOptions) -> None:
        self.name, self.directory, self.options = name, model_directory.read(path), options

    def measure(self, workload: Workload, told: Callable[[str], None]) -> Result:
        """Load it, run it, and close it. Raises Glm4Error where its context is shorter than the prompts."""
        bandwidth = read_bandwidth()
        told(f"loading {self.name}")
        with Loaded(self) as loaded:
            loaded.require_room(workload)
            for tokens in workload.prompt_lengths:
                for index in range(workload.runs + 1):  # the first of a length warms up
                    told(f"{self.name}, prompt of {tokens}, run {index or 'to warm up'}")
                    loaded.run(tokens, workload, counts=index > 0)
            return loaded.result(bandwidth)


class Loaded:
    """A contestant that has been loaded, with the figures of its runs so far."""

    def __init__(self, contestant: Contestant) -> None:
        self._contestant, options = contestant, contestant.options
        regions, self._before, started = huge_pages.private_regions(), own_memory(), time.perf_counter()
        self.runtime = load_as(contestant.directory.path, replace(options, warmup=False))
        self._load = time.perf_counter() - started
        self._cold = self.reply(8, 2)[0]
        if options.huge_pages and self.runtime.device == "CPU":
            huge_pages.collapse_since(regions)
        self._runs: dict[int, list[tuple[float, float, float]]] = {}

    def __enter__(self) -> "Loaded":
        return self

    def __exit__(self, *_: object) -> None:
        self.runtime.close()

    def require_room(self, workload: Workload) -> None:
        """Raises Glm4Error where the context is shorter than the longest prompt and its reply."""
        context = self.runtime.context_length
        if max(workload.prompt_lengths) + workload.new_tokens > context:
            raise Glm4Error(
                f"{self._contestant.name} has a context of {context:,} tokens", "Give shorter --prompt-lengths."
            )

    def run(self, prompt_tokens: int, workload: Workload, counts: bool) -> None:
        """One run: `workload.concurrency` replies at once."""
        started, at_once = time.perf_counter(), workload.concurrency
        with ThreadPoolExecutor(at_once) as pool:
            replies = list(pool.map(lambda _: self.reply(prompt_tokens, workload.new_tokens), range(at_once)))
        seconds = time.perf_counter() - started
        first, each = (statistics.median(values) for values in zip(*replies, strict=True))
        rate = 1 / each if at_once == 1 else at_once * workload.new_tokens / seconds
        if counts:
            self._runs.setdefault(prompt_tokens, []).append((first, each, rate))

    def result(self, bandwidth: float) -> Result:
        """The medians of the runs, given the bytes a second that memory can be read at."""
        measured, contestant = [], self._contestant
        for tokens, runs in self._runs.items():
            first, each, rate = (statistics.median(values) for values in zip(*runs, strict=True))
            share = bytes_per_token(contestant.directory, tokens) / each / bandwidth
            measured.append(Measured(tokens, first, each, rate, share))
        memory = own_memory() - self._before
        return Result(contestant.name, self.runtime.device, self._load, self._cold, memory, bandwidth, tuple(measured))

    def reply(self, prompt_tokens: int, new_tokens: int) -> tuple[float, float]:
        """Seconds to the first token and for each further one, after a prompt that no cache knows."""
        ids = fresh_ids(self.runtime, prompt_tokens)
        *_, last = self.runtime.stream_ids(ids, temperature=0, max_new_tokens=new_tokens, ignore_eos=True)
        assert last.timing
        return last.timing.time_to_first_token, last.timing.time_per_token


def fresh_ids(runtime: Runtime, count: int) -> list[int]:
    """Token ids drawn at random from the vocabulary, special tokens aside."""
    random = np.random.default_rng()
    return [int(id) for id in random.integers(0, runtime.tokenizer.text_vocabulary, count)]


def bytes_per_token(directory: ModelDirectory, context: int) -> int:
    """Bytes that computing one token reads: all the weights but the embedding, and the KV cache so far."""
    recipe = directory.manifest.recipe if directory.manifest else {}
    value = 2 if recipe.get("mode") in ("none", "fp16") else 1
    return footprint.read_per_token(directory.config, footprint.one_way_bytes(directory), context, value)
