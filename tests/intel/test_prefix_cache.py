"""What is told of the KV cache is what the real pipeline does: its prompt logprobs are missing where it was skipped."""

import queue
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai
import pytest

from glm4_intel import EngineOptions
from glm4_intel.backends import LoadOptions, Request
from glm4_intel.backends.genai.prefix_cache import CachedPrompt, PrefixCache
from glm4_intel.backends.turns import EngineThread
from glm4_intel.chat.generation import GenerationParams
from glm4_intel.loading import load_as

BLOCK = 32


@dataclass
class Asked:
    """A request to the bare pipeline, and what is computed of it."""

    handle: Any
    prompt: CachedPrompt
    blocks: int
    cancelled: bool = False
    logprobs: int = 0

    def read(self) -> bool:
        going = self.handle.get_status() == openvino_genai.GenerationStatus.RUNNING
        while self.handle.can_read():
            for output in self.handle.read().values():
                new = list(output.generated_ids)
                self.prompt.ids += new[-1:] if self.prompt.prompt == len(self.prompt.ids) else new  # echoed
                self.logprobs += len(output.generated_log_probs)
        self.prompt.over = self.prompt.over or not going
        return going

    @property
    def skipped(self) -> int:
        """The pipeline tells a logprob of every prompt token that it computes but the first of those."""
        told = self.logprobs - (len(self.prompt.ids) - self.prompt.prompt)
        return 0 if told == self.prompt.prompt else self.prompt.prompt - 1 - told


def prompts(chance: random.Random, earlier: Sequence[list[int]]) -> Iterator[list[int]]:
    """Prompts that often begin as another did, or go on with a reply."""
    stems = [[chance.randrange(100, 2900) for _ in range(chance.randrange(5, 180))] for _ in range(5)]
    while True:
        stem = chance.choice(earlier[-12:]) if earlier and chance.random() < 0.5 else chance.choice(stems)
        cut = chance.randrange(1, len(stem) + 1) if chance.random() < 0.3 else len(stem)
        yield stem[:cut][:250] + [chance.randrange(100, 2900) for _ in range(chance.choice([0, 0, 1, 31, 32, 33]))]


@pytest.mark.parametrize(("blocks", "batch"), [(300, 256), (36, 48)])
def test_every_token_that_is_skipped_is_counted(nano: Path, blocks: int, batch: int) -> None:
    """In a cache with room for all, and in one that forgets, with replies that are given up in the middle."""
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.max_num_batched_tokens, scheduler.num_kv_blocks, scheduler.enable_prefix_caching = batch, blocks, True
    pipeline = openvino_genai.ContinuousBatchingPipeline(nano, openvino_genai.Tokenizer(nano), scheduler, "CPU")
    cache, chance = PrefixCache(blocks, BLOCK, batch), random.Random(blocks)
    earlier, live, hits, done = list[list[int]](), list[Asked](), 0, 0
    asked = prompts(chance, earlier)
    while done < 70:
        ids, longest = next(asked), chance.randrange(1, 40)
        need = -(-(len(ids) + longest) // BLOCK)
        if chance.random() < 0.5 and need + sum(each.blocks for each in live) < blocks:
            config = openvino_genai.GenerationConfig()
            config.max_new_tokens, config.logprobs, config.echo, config.ignore_eos = longest, 1, True, True
            handle = pipeline.add_request(done + len(live), openvino.Tensor(np.array([ids])), config)
            live.append(Asked(handle, cache.add(ids), need))
        for each in live:
            if chance.random() < 0.01:
                each.handle.cancel()
                each.prompt.over = each.cancelled = True
        if not pipeline.has_non_finished_requests():
            continue
        pipeline.step()
        cache.schedule()
        for each in [each for each in live if not each.read()]:
            live.remove(each)
            done += 1
            if not each.cancelled:
                assert each.prompt.cached == each.skipped
                hits += each.skipped > 0
                earlier.append(list(each.prompt.ids))
        cache.end_step(pipeline.get_metrics().cache_usage)
    assert cache.sure and hits > 15


def test_a_cache_that_is_not_as_computed_tells_nothing_any_more() -> None:
    cache = PrefixCache(10, BLOCK, 64)
    prompt = cache.add(range(40))
    cache.schedule()
    prompt.ids.append(1)
    cache.end_step(50.0)
    assert not cache.sure and cache.add(range(40)).cached == 0


@dataclass
class Written:
    """A reply that nobody wants any more once it was asked so often whether it is over. See Writing."""

    request: Request
    patience: int = 10**6
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    cached: int | None = None
    ended: bool = False

    @property
    def over(self) -> bool:
        self.patience -= 1
        return self.patience < 0

    def begin(self, share: float = 1.0, cached: int | None = None) -> None:
        self.cached = cached

    def write(self, ids: Sequence[int], logprobs: Sequence[float] = ()) -> None:
        self.ids += ids
        self.logprobs += logprobs

    def finish(self, failure: BaseException | None = None) -> None:
        self.ended = True


@dataclass
class Script:
    """Gives each reply once it is due, until the last of them has ended. See Orders."""

    steps: list[tuple[Written, Callable[[], bool]]]
    last: Written

    def get(self, block: bool = True) -> Written | None:
        if self.last.ended:
            return None
        if not self.steps or not self.steps[0][1]():
            raise queue.Empty
        return self.steps.pop(0)[0]


def request(ids: Sequence[int], tokens: int) -> Request:
    params = GenerationParams(max_new_tokens=tokens, temperature=0, ignore_eos=True)
    return Request(ids=list(ids), params=params, logprobs=True)


def test_a_prompt_that_is_given_up_spoils_no_other(nano: Path) -> None:
    """While another reply is written, a piece of a prompt ends within a block, which the pipeline files as whole."""
    options = LoadOptions(profile="throughput", warmup=False, engine=EngineOptions(max_batched_tokens=64))
    chance = random.Random(0)
    long = [chance.randrange(100, 2900) for _ in range(300)]
    with load_as(nano, options) as runtime:
        engine = runtime.backend
        assert isinstance(engine, EngineThread)
        beside = Written(request(range(100, 120), 60))
        left, again = Written(request(long, 6), patience=3), Written(request(long, 6))
        steps = [(beside, lambda: True), (left, lambda: len(beside.ids) > 2), (again, lambda: left.ended)]
        engine.work(Script(steps, again))
    with load_as(nano, options) as runtime:
        alone = list(runtime.backend.stream(request(long, 6), lambda: False))
    assert again.cached and again.ids == alone
