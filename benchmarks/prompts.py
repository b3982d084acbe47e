"""Time to the first token, and a token, of model directories and settings in turn, at several lengths of prompts.

    python benchmarks/prompts.py INT4 INT8_PREFILL --lengths 32 64 128 512 2048

INT4 is a model directory made with `--recipe cpu`, INT8_PREFILL one of the same checkpoint made with
`--recipe cpu-int8-prefill`. They run in bare openvino_genai, so that a graph will do: random ids, no text. Contestants:
INT4 with the engine's defaults, INT4 with the `chat` profile's properties, INT8_PREFILL with those. A token is taken
greedily, and drawn as GLM-4's settings have it; of random weights' flat distribution that sorts the whole vocabulary,
so those want `peaked.py` first.
"""

import argparse
import statistics
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import openvino
import openvino_genai

from environment import environment
from glm4_intel.devices import parse_properties, properties
from glm4_intel.machine.huge_pages import collapse_since, private_regions

_PIECE = 1024
"""Tokens of a prompt that the `chat` profile reads in one pass."""
_SHORT = 32
"""Tokens of the prompt before those that are timed."""
DRAWN = {"do_sample": True, "temperature": 0.8, "top_p": 0.8}
"""GLM-4's own sampling."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("int4", type=Path)
    parser.add_argument("int8_prefill", type=Path)
    parser.add_argument("--lengths", type=int, nargs="*", default=[32, 64, 128, 512, 2048])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=32, help="written after a short prompt, to time a token")
    parser.add_argument("--also", nargs="*", default=[], metavar="DIR,KEY=VALUE,…",
                        help="further contestants, as `chat` but for these properties")  # fmt: skip
    args = parser.parse_args()
    print(environment(), flush=True)
    pipelines = {
        "defaults": openvino_genai.LLMPipeline(str(args.int4), "CPU"),
        "chat": _as_we_load(args.int4),
        "chat, int8 prefill": _as_we_load(args.int8_prefill),
    } | {text.rpartition("/")[2]: _as_we_load(*_contestant(text)) for text in args.also}
    for pipeline in pipelines.values():
        _reply(pipeline, 100, 2)  # packs the weights of both ways
    print("".join(f"{name:>21}" for name in ("", *pipelines)) + "   (medians, ms)")
    for kind, drawing in (("greedy", {}), ("drawn", DRAWN)):
        tokens = _in_turn(pipelines, args.rounds, lambda each, how=drawing: _reply(each, _SHORT, args.tokens, **how)[1])
        print(f"{f'a token, {kind}':>21}" + "".join(f"{value:>21.1f}" for value in tokens), flush=True)
    for length in args.lengths:
        first = _in_turn(pipelines, args.rounds, lambda each, tokens=length: _reply(each, tokens, 1)[0])
        ratios = "".join(f"{f'{value:.0f} ({value / first[0]:.3f})':>21}" for value in first)
        print(f"{f'first of {length}':>21}{ratios}", flush=True)


def _contestant(text: str) -> tuple[Path, dict[str, str]]:
    directory, *given = text.split(",")
    return Path(directory), parse_properties(given)


def _as_we_load(directory: Path, given: Mapping[str, str] = MappingProxyType({})) -> Any:
    """The directory as the runtime loads it in the profile `chat`, but without a cache of prefixes."""
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.max_num_batched_tokens, scheduler.enable_prefix_caching, scheduler.cache_size = _PIECE, False, 4
    before = private_regions()
    chat = properties("CPU", "chat") | dict(given)
    pipeline = openvino_genai.LLMPipeline(str(directory), "CPU", scheduler_config=scheduler, **chat)
    _reply(pipeline, 100, 2)
    collapse_since(before)
    return pipeline


def _in_turn(pipelines: dict[str, Any], rounds: int, measured: Any) -> list[float]:
    """The median of what is measured of each, one after another in each round."""
    found: list[list[float]] = [[] for _ in pipelines]
    for _ in range(rounds):
        for pipeline, figures in zip(pipelines.values(), found, strict=True):
            figures.append(measured(pipeline))
    return [statistics.median(figures) for figures in found]


_random = np.random.default_rng(0)


def _reply(pipeline: Any, length: int, tokens: int, **drawing: Any) -> tuple[float, float]:
    """Milliseconds to the first token, and for each of the others, after a prompt of so many random ids."""
    ids = _random.integers(1000, 100_000, (1, length))
    config = openvino_genai.GenerationConfig(max_new_tokens=tokens, ignore_eos=True, **drawing)
    inputs = openvino_genai.TokenizedInputs(openvino.Tensor(ids), openvino.Tensor(np.ones_like(ids)))
    metrics = pipeline.generate(inputs, config).perf_metrics
    return metrics.get_ttft().mean, metrics.get_tpot().mean


if __name__ == "__main__":
    main()
