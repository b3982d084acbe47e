"""Several replies at once, and a prompt that comes while they are being written, of directories and settings in turn.

    python benchmarks/replies.py INT4 INT8_PREFILL --replies 16 --prompt 128 --tokens 64 --late 1024

The model directories are those of `prompts.py`; bare openvino_genai, its continuous batching alone. Contestants: INT4
with the engine's defaults, INT4 with the `throughput` profile's settings, INT8_PREFILL with those. Measured: all
replies' tokens a second, from the moment when their prompts come; then, while they are being written, the time to the
first token of a late prompt, and the tokens a second that the others go on with meanwhile.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai

from environment import environment
from glm4_intel.devices import engine_settings, properties
from glm4_intel.machine.huge_pages import collapse_since, private_regions

_random, _numbers = np.random.default_rng(0), count()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("int4", type=Path)
    parser.add_argument("int8_prefill", type=Path)
    parser.add_argument("--replies", type=int, default=16)
    parser.add_argument("--prompt", type=int, default=128, help="tokens")
    parser.add_argument("--tokens", type=int, default=64, help="of each reply")
    parser.add_argument("--late", type=int, default=1024, help="tokens of the late prompt")
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    print(environment(), flush=True)
    pipelines = {
        "defaults": _loaded(args.int4),
        "throughput": _loaded(args.int4, "throughput"),
        "throughput, int8 prefill": _loaded(args.int8_prefill, "throughput"),
    }
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in pipelines}
    for _ in range(args.rounds):
        for name, pipeline in pipelines.items():
            found[name].append(_measured(pipeline, args.replies, args.prompt, args.tokens, args.late))
            print(f"{name:>26}: {_told(found[name][-1], args)}", flush=True)
    for name, rounds in found.items():
        medians = tuple(statistics.median(each) for each in zip(*rounds, strict=True))
        print(f"median {name:>26}: {_told(medians, args)}")


def _told(figures: tuple[float, ...], args: argparse.Namespace) -> str:
    rate, prompts, writing, late, meanwhile = figures
    return (
        f"{args.replies} replies {rate:.1f} tokens/s ({prompts:.2f} s to all first tokens, then {writing:.1f} tokens/s)"
        f"; a prompt of {args.late} beside them {late:.2f} s, {meanwhile:.1f} tokens/s meanwhile"
    )


def _loaded(directory: Path, profile: str = "") -> Any:
    """The directory as the runtime loads it in a profile, or as the engine does by itself."""
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size = 4
    if profile:
        scheduler.max_num_batched_tokens = engine_settings("CPU", profile)["max_batched_tokens"]
    before, given = private_regions(), properties("CPU", profile) if profile else {}
    pipeline = openvino_genai.ContinuousBatchingPipeline(str(directory), scheduler, "CPU", given)
    for _ in _steps(pipeline, [_begun(pipeline, 100, 2)]):  # packs the weights of both ways
        pass
    if profile:
        collapse_since(before)
    return pipeline


def _begun(pipeline: Any, length: int, tokens: int) -> Any:
    """A greedy reply to a prompt of so many random ids."""
    ids = openvino.Tensor(_random.integers(1000, 100_000, (1, length)))
    config = openvino_genai.GenerationConfig(max_new_tokens=tokens, ignore_eos=True)
    return pipeline.add_request(next(_numbers), ids, config)


def _steps(pipeline: Any, handles: list[Any]) -> Iterator[list[int]]:
    """Steps until all ends, and the tokens that each reply has got in each."""
    while pipeline.has_non_finished_requests():
        pipeline.step()
        yield [_read(handle) for handle in handles]


def _read(handle: Any) -> int:
    outputs = (output for output in handle.read().values()) if handle.can_read() else ()
    return sum(len(output.generated_ids) for output in outputs)


def _measured(pipeline: Any, replies: int, prompt: int, tokens: int, late: int) -> tuple[float, ...]:
    """All tokens a second until each reply has `tokens`, the seconds of them until each has begun, and the rate after
    that; then the seconds to the first token of a late prompt, and the rate of the others until then."""
    started, written, begun = time.perf_counter(), np.zeros(replies, int), (0.0, 0)
    handles = [_begun(pipeline, prompt, tokens + (1 << 10)) for _ in range(replies)]
    for step in _steps(pipeline, handles):
        written += step
        if written.all() and not begun[1]:
            begun = time.perf_counter() - started, int(written.sum())
        if (written >= tokens).all():
            break
    seconds, all_written = time.perf_counter() - started, int(written.sum())
    came, meanwhile = time.perf_counter(), 0
    for *others, first in _steps(pipeline, [*handles, _begun(pipeline, late, 1)]):
        meanwhile += sum(others)
        if first:
            break
    waited = time.perf_counter() - came
    _end(pipeline, handles)
    writing = (all_written - begun[1]) / (seconds - begun[0])
    return all_written / seconds, begun[0], writing, waited, meanwhile / waited


def _end(pipeline: Any, handles: list[Any]) -> None:
    for handle in handles:
        handle.cancel()
    for _ in _steps(pipeline, []):
        pass


if __name__ == "__main__":
    main()
