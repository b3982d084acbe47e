"""Give the graph of an int4 model directory a second way for prompts, with random int8 weights: for timing alone.

    python benchmarks/random_int8_prefill.py INT4 OUT

What `glm4-intel export --recipe cpu-int8-prefill` makes of a checkpoint, without the checkpoint.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import openvino

from glm4_intel.backends.openvino_ir import products
from glm4_quantize.int8_prefill import Int8Weight, add_int8_prefill
from glm4_quantize.int8_prefill.weights import place_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("int4", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    model, random = openvino.Core().read_model(args.int4 / "openvino_model.xml"), np.random.default_rng(0)
    weights = {}
    for name, product in products(model).items():
        rows, columns = (axis.get_length() for axis in product.input_value(1).get_partial_shape())
        values = random.integers(-127, 128, rows * columns, dtype=np.int8)
        weights[name] = Int8Weight(tuple(place_of(values, rows, columns)), np.full((rows, 1), 1e-4, np.float32))
    add_int8_prefill(model, model.clone(), weights)
    shutil.copytree(args.int4, args.out, ignore=shutil.ignore_patterns("openvino_model.*", "glm4.json"))
    openvino.save_model(model, args.out / "openvino_model.xml", compress_to_fp16=False)


if __name__ == "__main__":
    main()
