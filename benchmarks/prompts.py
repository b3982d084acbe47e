"""Time to the first token, and a token, of model directories and settings in turn, at several lengths of prompts.

    python benchmarks/prompts.py INT4 INT8_PREFILL --lengths 32 64 128 512 2048

INT4 is a model directory made with `--recipe cpu`, INT8_PREFILL one of the same checkpoint made with
`--recipe cpu-int8-prefill`. They run in bare openvino_genai, so that a graph will do: random ids, no text. Contestants:
INT4 with the engine's defaults, INT4 with the `chat` profile's properties, INT8_PREFILL with those.
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai

from environment import environment
from glm4_intel.devices import properties
from glm4_intel.machine.huge_pages import collapse_since, private_regions

_PIECE = 1024
"""Tokens of a prompt that the `chat` profile reads in one pass."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("int4", type=Path)
    parser.add_argument("int8_prefill", type=Path)
    parser.add_argument("--lengths", type=int, nargs="+", default=[32, 64, 128, 512, 2048])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=8, help="written after each prompt")
    args = parser.parse_args()
    print(environment(), flush=True)
    pipelines = {
        "defaults": openvino_genai.LLMPipeline(str(args.int4), "CPU"),
        "chat": _as_we_load(args.int4),
        "chat, int8 prefill": _as_we_load(args.int8_prefill),
    }
    for pipeline in pipelines.values():
        _reply(pipeline, np.random.default_rng(0), 100, 2)  # packs the weights of both ways
    print(f"{'tokens':>8}" + "".join(f"{name:>30}" for name in pipelines) + "   ms to the first token, ms a token")
    for length in args.lengths:
        figures = _in_turn(pipelines, length, args.tokens, args.rounds)
        print(f"{length:8}" + "".join(f"{first:>20.0f}{token:>10.1f}" for first, token in figures), flush=True)


def _as_we_load(directory: Path) -> Any:
    """The directory as the runtime loads it in the profile `chat`, but without a cache of prefixes."""
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.max_num_batched_tokens, scheduler.enable_prefix_caching, scheduler.cache_size = _PIECE, False, 4
    before = private_regions()
    pipeline = openvino_genai.LLMPipeline(
        str(directory), "CPU", scheduler_config=scheduler, **properties("CPU", "chat")
    )
    _reply(pipeline, np.random.default_rng(0), 100, 2)
    collapse_since(before)
    return pipeline


def _in_turn(pipelines: dict[str, Any], length: int, tokens: int, rounds: int) -> list[tuple[float, float]]:
    """Medians of the milliseconds to the first token and of those a token, for each."""
    random, found = np.random.default_rng(length), [[] for _ in pipelines]
    for _ in range(rounds):
        for pipeline, figures in zip(pipelines.values(), found, strict=True):
            figures.append(_reply(pipeline, random, length, tokens))
    return [(statistics.median(a for a, _ in each), statistics.median(b for _, b in each)) for each in found]


def _reply(pipeline: Any, random: np.random.Generator, length: int, tokens: int) -> tuple[float, float]:
    ids = random.integers(1000, 100_000, (1, length))
    config = openvino_genai.GenerationConfig(max_new_tokens=tokens, min_new_tokens=tokens, ignore_eos=True)
    inputs = openvino_genai.TokenizedInputs(openvino.Tensor(ids), openvino.Tensor(np.ones_like(ids)))
    metrics = pipeline.generate(inputs, config).perf_metrics
    return metrics.get_ttft().mean, metrics.get_tpot().mean


if __name__ == "__main__":
    main()
