"""What drawing a token costs beside taking the likeliest, for flat and for peaked distributions.

    python benchmarks/sampling.py DIR

DIR is a model directory with GLM-4's vocabulary of 151,552; its weights may be random, and are best small. Random
weights give a nearly flat distribution, of which top_p has to sort all; the peaked one is `peaked.py`'s. Bare
openvino_genai.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai

from environment import environment
from peaked import peaked

SETTINGS: dict[str, dict[str, Any]] = {
    "greedy": {"do_sample": False},
    "temperature 0.8": {"do_sample": True, "temperature": 0.8},
    "and top_p 0.8": {"do_sample": True, "temperature": 0.8, "top_p": 0.8},
    "and top_k 50": {"do_sample": True, "temperature": 0.8, "top_p": 0.8, "top_k": 50},
    "and top_k 1024": {"do_sample": True, "temperature": 0.8, "top_p": 0.8, "top_k": 1024},
    "and top_k 4096": {"do_sample": True, "temperature": 0.8, "top_p": 0.8, "top_k": 4096},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=60)
    args = parser.parse_args()
    print(environment())
    with tempfile.TemporaryDirectory() as folder:
        for name, directory in (("flat", args.model), ("peaked", peaked(args.model, Path(folder) / "peaked"))):
            print(f"{name}: {_row(directory, args.rounds, args.tokens)}", flush=True)


def _row(directory: Path, rounds: int, tokens: int) -> str:
    """Medians of the milliseconds a token, the settings in turn."""
    pipeline = openvino_genai.LLMPipeline(str(directory), "CPU", INFERENCE_PRECISION_HINT="f32")
    ids = openvino.Tensor(np.arange(100, 132, dtype=np.int64)[None])
    inputs = openvino_genai.TokenizedInputs(ids, openvino.Tensor(np.ones((1, 32), np.int64)))
    found: dict[str, list[float]] = {name: [] for name in SETTINGS}
    for _ in range(rounds):
        for name, setting in SETTINGS.items():
            config = openvino_genai.GenerationConfig(max_new_tokens=tokens, ignore_eos=True, **setting)
            found[name].append(pipeline.generate(inputs, config).perf_metrics.get_tpot().mean)
    return ", ".join(f"{name} {statistics.median(times):.2f} ms" for name, times in found.items())


if __name__ == "__main__":
    main()
