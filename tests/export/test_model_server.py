"""The files for OpenVINO Model Server, held against the schema that it reads them by."""

import json
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from glm4_export.making import make
from glm4_export.openvino.maker import OpenVINOMaker

OPTIONAL, REPEATED = 1, 3
STRING, UINT64, BOOL, MESSAGE = 9, 4, 8, 11
# MediaPipe's calculator.proto and stream_handler.proto and the server's llm_calculator.proto, as far as they are used.
SCHEMA: dict[str, list[tuple[str, int, int, str]]] = {
    "Any": [("type_url", STRING, OPTIONAL, ""), ("value", 12, OPTIONAL, "")],
    "LLMCalculatorOptions": [
        ("models_path", STRING, OPTIONAL, ""), ("cache_size", UINT64, OPTIONAL, ""), ("device", STRING, OPTIONAL, ""),
        ("plugin_config", STRING, OPTIONAL, ""), ("enable_prefix_caching", BOOL, OPTIONAL, ""),
    ],
    "InputStreamInfo": [("tag_index", STRING, OPTIONAL, ""), ("back_edge", BOOL, OPTIONAL, "")],
    "SyncSet": [("tag_index", STRING, REPEATED, "")],
    "SyncSetInputStreamHandlerOptions": [("sync_set", MESSAGE, REPEATED, "SyncSet")],
    "InputStreamHandlerConfig": [
        ("input_stream_handler", STRING, OPTIONAL, ""), ("options", MESSAGE, OPTIONAL, "MediaPipeOptions"),
    ],
    "MediaPipeOptions": [],
    "Node": [
        ("name", STRING, OPTIONAL, ""), ("calculator", STRING, OPTIONAL, ""), ("input_stream", STRING, REPEATED, ""),
        ("output_stream", STRING, REPEATED, ""), ("input_side_packet", STRING, REPEATED, ""),
        ("node_options", MESSAGE, REPEATED, ".google.protobuf.Any"),
        ("input_stream_handler", MESSAGE, OPTIONAL, "InputStreamHandlerConfig"),
        ("input_stream_info", MESSAGE, REPEATED, "InputStreamInfo"),
    ],
    "CalculatorGraphConfig": [
        ("input_stream", STRING, REPEATED, ""), ("output_stream", STRING, REPEATED, ""),
        ("node", MESSAGE, REPEATED, "Node"),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("nano", tmp_path_factory.mktemp("served") / "out", OpenVINOMaker(model_server=True))


def pool() -> descriptor_pool.DescriptorPool:
    from google.protobuf import any_pb2

    file = descriptor_pb2.FileDescriptorProto(name="graph.proto", package="mediapipe", syntax="proto2")
    file.dependency.append("google/protobuf/any.proto")
    for name, fields in SCHEMA.items():
        if name == "Any":
            continue
        message = file.message_type.add(name=name)
        for number, (field, kind, label, of) in enumerate(fields, 1):
            type_name = of if of.startswith(".") else f".mediapipe.{of}" if of else None
            message.field.add(name=field, number=number, type=kind, label=label, type_name=type_name)
        if name == "MediaPipeOptions":
            message.extension_range.add(start=20000, end=536870912)
        if name == "SyncSetInputStreamHandlerOptions":
            message.extension.add(
                name="ext", number=108712104, type=MESSAGE, label=OPTIONAL, extendee=".mediapipe.MediaPipeOptions",
                type_name=".mediapipe.SyncSetInputStreamHandlerOptions",
            )  # fmt: skip
    made = descriptor_pool.DescriptorPool()
    made.AddSerializedFile(any_pb2.DESCRIPTOR.serialized_pb)
    made.AddSerializedFile(file.SerializeToString())
    return made


def test_the_graph_is_what_mediapipe_parses(served: Path) -> None:
    types = pool()
    classes = message_factory.GetMessageClassesForFiles(["graph.proto"], types)
    graph = classes["mediapipe.CalculatorGraphConfig"]()
    text_format.Parse((served / "graph.pbtxt").read_text(), graph, descriptor_pool=types)
    (node,) = graph.node
    assert node.calculator == "HttpLLMCalculator" and list(node.input_side_packet) == ["LLM_NODE_RESOURCES:llm"]
    assert node.input_stream_info[0].back_edge
    options = classes["mediapipe.LLMCalculatorOptions"]()
    assert node.node_options[0].Unpack(options)
    assert options.device == "CPU" and (served / options.models_path / "openvino_model.xml").is_file()
    assert json.loads(options.plugin_config) == {
        "INFERENCE_PRECISION_HINT": "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "128",
        "KV_CACHE_PRECISION": "f16",
        "ENABLE_CPU_PINNING": "NO",
    }


def test_the_servers_config_names_the_graph(served: Path) -> None:
    """MODELS_CONFIG_SCHEMA: model_config_list must be there; a mediapipe entry has a name and a base_path."""
    file = served / "model_server" / "config.json"
    config = json.loads(file.read_text())
    assert config["model_config_list"] == []
    (entry,) = config["mediapipe_config_list"]
    assert set(entry) == {"name", "base_path"}
    assert (file.parent / entry["base_path"] / "graph.pbtxt").resolve() == (served / "graph.pbtxt").resolve()
