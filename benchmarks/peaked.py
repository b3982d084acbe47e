"""A model directory whose logits are peaked as a trained model's are, made of one with random weights.

    python benchmarks/peaked.py DIR OUT

Random weights give a nearly flat distribution, of which top_p sorts all 151,552 tokens. Here the same graph gets
-1.6 log(rank) added to its logits, ranks drawn at random (Zipf's law).
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import openvino
from openvino import opset13


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    peaked(args.model, args.out)


def peaked(model: Path, out: Path) -> Path:
    """The model with Zipf's law added to its logits."""
    shutil.copytree(model, out, ignore=shutil.ignore_patterns("openvino_model.*", "glm4.json"))
    graph = openvino.Core().read_model(model / "openvino_model.xml")
    logits = graph.output("logits").get_node().input_value(0)
    ranks = np.random.default_rng(0).permutation(logits.get_partial_shape()[-1].get_length()) + 1
    added = opset13.add(logits, opset13.constant((-1.6 * np.log(ranks)).astype(np.float32)))
    graph.output("logits").get_node().input(0).replace_source_output(added.output(0))
    logits.get_tensor().set_names(set())
    added.output(0).get_tensor().set_names({"logits"})
    openvino.save_model(graph, out / "openvino_model.xml", compress_to_fp16=False)
    return out


if __name__ == "__main__":
    main()
