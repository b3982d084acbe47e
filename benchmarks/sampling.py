"""What drawing a token costs beside taking the likeliest, for flat and for peaked distributions.

    python benchmarks/sampling.py DIR

DIR is a model directory with GLM-4's vocabulary of 151,552; its weights may be random, and are best small. Random
weights give a nearly flat distribution, of which top_p has to sort all; to have a peaked one, as a trained model's is,
the same graph gets -1.6 log(rank) added to its logits, ranks drawn at random (Zipf's law). Bare openvino_genai.
"""

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai
from openvino import opset13

from environment import environment

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
        for name, directory in (("flat", args.model), ("peaked", _peaked(args.model, Path(folder) / "peaked"))):
            print(f"{name}: {_row(directory, args.rounds, args.tokens)}", flush=True)


def _peaked(model: Path, out: Path) -> Path:
    """The model with Zipf's law added to its logits."""
    shutil.copytree(model, out, ignore=shutil.ignore_patterns("openvino_model.*"))
    graph = openvino.Core().read_model(model / "openvino_model.xml")
    logits = graph.output("logits").get_node().input_value(0)
    ranks = np.random.default_rng(0).permutation(logits.get_partial_shape()[-1].get_length()) + 1
    added = opset13.add(logits, opset13.constant((-1.6 * np.log(ranks)).astype(np.float32)))
    graph.output("logits").get_node().input(0).replace_source_output(added.output(0))
    logits.get_tensor().set_names(set())
    added.output(0).get_tensor().set_names({"logits"})
    openvino.save_model(graph, out / "openvino_model.xml", compress_to_fp16=False)
    return out


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
