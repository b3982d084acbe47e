"""What OpenVINO Model Server reads of a model directory, so that it can be served as it is."""

import json
from pathlib import Path

FOLDER = "model_server"
_CACHE_GB = 2

_GRAPH = """input_stream: "HTTP_REQUEST_PAYLOAD:input"
output_stream: "HTTP_RESPONSE_PAYLOAD:output"
node {{
  name: "LLMExecutor"
  calculator: "HttpLLMCalculator"
  input_stream: "LOOPBACK:loopback"
  input_stream: "HTTP_REQUEST_PAYLOAD:input"
  input_side_packet: "LLM_NODE_RESOURCES:llm"
  output_stream: "LOOPBACK:loopback"
  output_stream: "HTTP_RESPONSE_PAYLOAD:output"
  input_stream_info {{
    tag_index: "LOOPBACK:0"
    back_edge: true
  }}
  node_options {{
    [type.googleapis.com/mediapipe.LLMCalculatorOptions] {{
      models_path: "./"
      device: {device}
      cache_size: {cache}
      enable_prefix_caching: true
      plugin_config: {plugin}
    }}
  }}
  input_stream_handler {{
    input_stream_handler: "SyncSetInputStreamHandler"
    options {{
      [mediapipe.SyncSetInputStreamHandlerOptions.ext] {{
        sync_set {{
          tag_index: "LOOPBACK:0"
        }}
      }}
    }}
  }}
}}
"""


def write_model_server_files(directory: Path, name: str, device: str, properties: dict[str, str]) -> None:
    """Add graph.pbtxt, and model_server/config.json that names it to the server.

    The server's config.json stands in a folder of its own because a model directory's is the model's. Start it with
    `ovms --config_path DIR/model_server/config.json --rest_port 8000`. The graph's form: docs/llm/reference.md and
    src/llm/llm_calculator.proto of openvinotoolkit/model_server.
    """
    graph = _GRAPH.format(device=json.dumps(device), cache=_CACHE_GB, plugin=json.dumps(json.dumps(properties)))
    (directory / "graph.pbtxt").write_text(graph, encoding="utf-8")
    (directory / FOLDER).mkdir()
    config = {"model_config_list": [], "mediapipe_config_list": [{"name": name, "base_path": ".."}]}
    (directory / FOLDER / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
