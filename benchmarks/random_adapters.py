"""What adapters cost a step at a real size: a graph of GLM-4-9B's shape with 8 of rank 8, of random numbers.

    python benchmarks/random_adapters.py make DIR ADAPTED
    python benchmarks/random_adapters.py time DIR ADAPTED [--property KEY=VALUE]

DIR is a model directory of any GLM-4, ADAPTED is made of it. The adapters are of GLM-4's own fine-tuning: LoRA on the
queries, keys and values, one down projection for the three. `time` steps both in turn, for 1 reply and for 8, without
an adapter and with one for each.
"""

import argparse
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai

from environment import environment
from glm4_intel.backends.adapters import Adapter, LowRank, product_shapes
from glm4_intel.backends.genai.adapters.graph import with_adapters
from glm4_intel.backends.genai.adapters.marker import Place
from glm4_intel.backends.genai.adapters.reserved import reserved_ids
from glm4_intel.devices import parse_properties
from glm4_intel.model_directory import read_json

COUNT, RANK = 8, 8
_TOKENS, _ROUNDS, _PROMPT = 48, 5, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("make", "time"))
    parser.add_argument("directory", type=Path)
    parser.add_argument("adapted", type=Path)
    parser.add_argument("--property", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    if args.what == "make":
        make(args.directory, args.adapted)
    else:
        measure(args.directory, args.adapted, parse_properties(args.property))


def make(directory: Path, out: Path) -> None:
    """The directory with the edited graph."""
    config = read_json(directory / "config.json")
    ids, first = reserved_ids(directory, config["vocab_size"], COUNT)
    model = openvino.Core().read_model(directory / "openvino_model.xml")
    edited = with_adapters(model, _adapters(config), [Place(id, 1) for id in ids], first, config)
    shutil.copytree(directory, out, ignore=shutil.ignore_patterns("openvino_model.*", "glm4.json"))
    openvino.serialize(edited, out / "openvino_model.xml", out / "openvino_model.bin")


def _adapters(config: dict[str, Any]) -> list[Adapter]:
    random, shapes = np.random.default_rng(0), product_shapes(config)

    def normal(*shape: int) -> np.ndarray:
        return random.normal(0, 0.01, shape).astype(np.float32)

    found = []
    for _ in range(COUNT):
        products = {}
        for layer in range(config["num_hidden_layers"]):
            down = normal(RANK, config["hidden_size"])
            for name in (f"layers.{layer}.self_attn.{each}_proj" for each in "qkv"):
                products[name] = LowRank(down, normal(shapes[name][0], RANK), 4.0)
        found.append(Adapter(Path(), Path(), "", products))
    return found


def measure(directory: Path, adapted: Path, properties: dict[str, Any]) -> None:
    """Print the medians of both."""
    print(environment(), properties, flush=True)
    config = read_json(directory / "config.json")
    ids, first = reserved_ids(directory, config["vocab_size"], COUNT)
    plain, edited = (_pipeline(each, properties) for each in (directory, adapted))
    print(f"{'replies':>8}{'the model':>12}{'no adapter':>18}{'one each':>18}   ms a step")
    for count in (1, COUNT):
        cases = {"plain": (plain, [first] * count), "none": (edited, [first] * count), "each": (edited, ids[:count])}
        found: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(_ROUNDS + 1):  # the first packs the weights
            for name, (pipeline, begins) in cases.items():
                found[name].append(_step(pipeline, begins))
        medians = [statistics.median(each[1:]) for each in found.values()]
        shown = "".join(f"{each:12.1f}{each / medians[0] - 1:+6.1%}" for each in medians[1:])
        print(f"{count:8}{medians[0]:12.1f}{shown}", flush=True)


def _pipeline(directory: Path, properties: dict[str, Any]) -> Any:
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.max_num_batched_tokens, scheduler.num_kv_blocks, scheduler.enable_prefix_caching = 512, 400, False
    tokenizer = openvino_genai.Tokenizer(directory)
    return openvino_genai.ContinuousBatchingPipeline(directory, tokenizer, scheduler, "CPU", **properties)


def _step(pipeline: Any, begins: list[int]) -> float:
    """Milliseconds of a step in which each reply gets its next token, the median of one round."""
    random, handles = np.random.default_rng(0), []
    for number, begin in enumerate(begins):
        ids = np.concatenate([[begin], random.integers(1000, 3000, _PROMPT)])[None]
        config = openvino_genai.GenerationConfig(max_new_tokens=_TOKENS, ignore_eos=True, do_sample=False)
        handles.append(pipeline.add_request(number, openvino.Tensor(ids), config))
    times = []
    while pipeline.has_non_finished_requests():
        started = time.perf_counter()
        pipeline.step()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times[2:])


if __name__ == "__main__":
    main()
