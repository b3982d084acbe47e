"""What adapters are held against: the same graph with one of them merged into its weights, in f32."""

import shutil
from pathlib import Path

import numpy as np
import openvino
from openvino import opset13 as op

from glm4_intel.backends.adapters import read_adapter
from glm4_intel.backends.openvino_ir import products
from glm4_intel.model_directory import read_json


def merged_graph(directory: Path, adapter: Path, out: Path) -> Path:
    """A model directory of uncompressed weights with an adapter added to them, without rounding."""
    model = openvino.Core().read_model(directory / "openvino_model.xml")
    changes, nodes = read_adapter(adapter, read_json(directory / "config.json")).products, products(model)
    for name, change in changes.items():
        weight = nodes[name].input_value(1).get_node()
        while weight.get_type_name() == "Convert":
            weight = weight.input_value(0).get_node()
        merged = weight.get_data(dtype=np.float32) + change.delta()
        nodes[name].input(1).replace_source_output(op.constant(merged).output(0))
    shutil.copytree(directory, out, ignore=shutil.ignore_patterns("openvino_model.*", "glm4.json"))
    openvino.serialize(model, out / "openvino_model.xml", out / "openvino_model.bin")
    return out
