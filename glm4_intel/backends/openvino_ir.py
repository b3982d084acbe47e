"""What the backends over OpenVINO IR share: the plan of a load, the model's inputs, and its fingerprint."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..devices import (
    Choice,
    Device,
    Machine,
    check_properties,
    choose,
    device_error,
    properties,
)
from ..errors import Glm4Error
from ..fingerprint import TOKENS, Fingerprint, fixed_ids
from ..model_directory import ModelDirectory
from ..model_directory.weight_shapes import PRODUCTS
from .options import LoadOptions

MODEL = "openvino_model.xml"
INT8_PREFILL = "int8_prefill.block."
"""What operations are named, before their number, that compute the part between two attentions in one of two ways, by
the tokens in the pass: int8 for prompts, int4 for the rest."""
_INT8_PASS = 56
"""Tokens of a pass that takes the int8 way in every such directory."""
_TEXTS = ("openvino_tokenizer.xml", "openvino_detokenizer.xml")
_PORTS = (b"input_ids", b"attention_mask", b"logits")
_CACHES = ("Gather", "ReadValue")
"""What gives an attention its cache: the state, in the order of a beam search or as it is."""
_HEAD = 4096
_AGAIN = "Copy or export the model again."
LAYERS = 2
"""Layers that a fingerprint is taken of. Those behind them repeat the same operations on other weights, which the
hashes prove; the engine would repack those of a 9B for half a minute first."""


def chosen(directory: ModelDirectory, options: LoadOptions, machine: Machine) -> tuple[Choice, dict[str, Any]]:
    """The device for a directory, and its properties: the profile's and those asked for.

    Raises Glm4Error for a directory without an IR or with one that is damaged, a device that is not there or that the
    directory was not made for, and a property that the device has not.
    """
    if not (directory.path / MODEL).is_file():
        raise Glm4Error(
            f"{directory.path} is a model directory for the backend {directory.backend}", "Leave --backend out."
        )
    require_ir(directory.path)
    choice = _choice(directory, options, machine)
    _require_made_for(directory, choice.device)
    check_properties(choice.device.name, options.properties)
    given = properties(choice.device.name, options.profile)
    if directory.manifest and directory.manifest.recipe.get("bf16_attention"):
        given = _for_attention_in_bf16(directory.path, choice.device, given)
    return choice, given | dict(options.properties)


def _for_attention_in_bf16(directory: Path, device: Device, given: dict[str, Any]) -> dict[str, Any]:
    """The properties with a cache that attention in bf16 can read, which is of bf16 itself or of u8.

    Raises Glm4Error for a processor without bf16, where the engine would fail at the first token.
    """
    if "BF16" not in device.capabilities:
        raise Glm4Error(
            f"{directory} computes attention in bf16, which {device.name} has no instructions for",
            "Export it again with --no-bf16-attention.",
        )
    return given | ({"KV_CACHE_PRECISION": "bf16"} if given.get("KV_CACHE_PRECISION") in ("f16", "f32") else {})


def require_ir(directory: Path) -> None:
    """Raises Glm4Error for files that are no IR, before the engine is given them: cut short, with entities of XML's to
    be expanded, another model's."""
    for name in (MODEL, *_TEXTS):
        file = directory / name
        if not file.is_file():
            continue
        content = file.read_bytes()
        damaged = (
            not content.rstrip().endswith(b"</net>") or b"<net " not in content[:_HEAD] or b"<!" in content[:_HEAD]
        )
        if damaged:
            raise Glm4Error(f"{file} is no OpenVINO IR", _AGAIN)
        missing = [port for port in _PORTS if name == MODEL and not re.search(rb'names="[^"]*\b%s\b' % port, content)]
        if missing:
            raise Glm4Error(f"{file} is no language model's: it has no {missing[0].decode()}", _AGAIN)


def _choice(directory: ModelDirectory, options: LoadOptions, machine: Machine) -> Choice:
    """The device, with AUTO's reason; the reason is empty where the device was asked for by name."""
    if options.device.upper() == "AUTO":
        best = choose(directory, machine)
        if options.adapters and best.device.kind != "CPU":
            return Choice(machine.require("CPU"), "adapters need it")
        return best
    if options.device.upper() == "NPU" and "NPUW_DEVICES" in options.properties:  # another device computes for it
        return Choice(replace(machine.require(str(options.properties["NPUW_DEVICES"])), name="NPU"), "")
    return Choice(machine.require(options.device), "")


def _require_made_for(directory: ModelDirectory, device: Device) -> None:
    manifest = directory.manifest
    if device.kind == "NPU" and manifest and "NPU" not in manifest.targets:
        raise Glm4Error(
            f"{directory.path} was made by the recipe {manifest.recipe.get('name')}, which an NPU can't run",
            "Export it again with --recipe npu, or use --device CPU.",
        )


def fingerprint(directory: Path, recipe: Mapping[str, Any], thorough: bool = False) -> Fingerprint:
    """That of the embedding, the first layers, the last norm and lm_head, on the CPU in full precision apart from the
    quantized weights. `thorough` compiles the whole graph as well, which shows that the engine takes it."""
    import openvino

    core = openvino.Core()
    try:
        if thorough:
            core.compile_model(directory / MODEL, "CPU")
        shortened, layers = _shortened(core.read_model(directory / MODEL))
        compiled = core.compile_model(shortened, "CPU", properties("CPU", "accurate"))
        before = _INT8_PASS if has_int8_prefill(shortened) else 0
        ids = fixed_ids(compiled.output("logits").partial_shape[-1].get_length(), before + TOKENS)
        logits = next_logits(compiled.create_infer_request(), ids, before or None)[-1]
    except RuntimeError as error:
        raise device_error("CPU", error) from error
    return Fingerprint.of(logits, ids, layers, openvino.__version__)


def next_logits(request: Any, ids: Sequence[int], at_once: int | None = None) -> np.ndarray:
    """The logits [tokens, vocabulary], float32, that an infer request gives for `ids` from an empty cache, in passes of
    `at_once` tokens or in one."""
    request.reset_state()
    step = at_once or len(ids)
    passes = (request.infer(model_inputs(ids[at : at + step], at)) for at in range(0, len(ids), step))
    return np.concatenate([np.array(found["logits"][0], dtype=np.float32) for found in passes])


def model_inputs(ids: Sequence[int], past: int = 0) -> dict[str, np.ndarray]:
    """What the exported model takes for one sequence, from an empty cache or from one that holds `past` tokens."""
    row = np.array([ids], dtype=np.int64)
    return {
        "input_ids": row,
        "attention_mask": np.ones((1, past + len(ids)), dtype=np.int64),
        "position_ids": np.arange(past, past + len(ids), dtype=np.int64)[None],
        "beam_idx": np.zeros(1, dtype=np.int32),
    }


def products(model: Any) -> dict[str, Any]:
    """The MatMuls with weights of all layers, by names such as layers.0.mlp.down_proj, in order."""
    found = {}
    for node in model.get_ordered_ops():
        name = node.get_friendly_name().removeprefix("__module.model.").partition("/")[0]
        if node.get_type_name() == "MatMul" and name.startswith("layers.") and name.endswith(PRODUCTS):
            found[name] = node
    return found


def attentions(model: Any) -> list[Any]:
    """The attention of every layer, in order."""
    return [node for node in model.get_ordered_ops() if node.get_type_name() == "ScaledDotProductAttention"]


def joined_cache(value: Any) -> Any:
    """The operation that joins the cache and the new tokens' keys or values, which an attention is given as `value`,
    before it is repeated for the heads."""
    node = value.get_node()
    while node.get_type_name() != "Concat" or node.input_value(0).get_node().get_type_name() not in _CACHES:
        node = node.input_value(0).get_node()
    return node


def has_int8_prefill(model: Any) -> bool:
    """Whether the parts between attentions are computed in one of two ways, out of sight of `products`."""
    return any(_block(node) for node in model.get_ops())


def _shortened(model: Any) -> tuple[Any, int]:
    """The model with its first layers alone, and how many; the whole one where its layers can't be told apart."""
    import openvino

    nodes = model.get_ordered_ops()
    entry, norm = _stream_into_layer(nodes, LAYERS), "__module.model.norm/"
    last = _stream_into(nodes, norm)
    if entry is None or last is None:
        return model, 0
    for target in last.get_target_inputs():
        if target.get_node().get_friendly_name().startswith(norm):
            target.replace_source_output(entry)
    sinks = [sink for sink in model.get_sinks() if _layer(sink.get_variable_id()) < LAYERS]
    return openvino.Model(model.get_results(), sinks, model.get_parameters()), LAYERS


def _stream_into_layer(nodes: list[Any], layer: int) -> Any:
    """What the layers before it pass on, where they can be told apart."""
    for node in nodes:
        if _block(node) == str(layer):
            return node.output(3)  # behind the layer's queries, keys and values
    return _stream_into(nodes, f"__module.model.layers.{layer}.input_layernorm/")


def _block(node: Any) -> str:
    """The number of a block in two ways, and nothing for another operation."""
    name: str = node.get_friendly_name()
    return name.removeprefix(INT8_PREFILL) if name.startswith(INT8_PREFILL) else ""


def _stream_into(nodes: list[Any], prefix: str) -> Any:
    """The output that the operations named with a prefix get from elsewhere in the graph, constants aside."""
    for node in nodes:
        if node.get_friendly_name().startswith(prefix):
            for source in (value.get_source_output() for value in node.inputs()):
                name = source.get_node().get_friendly_name()
                if name.startswith(("__module.", INT8_PREFILL)) and not name.startswith(prefix):
                    return source
    return None


def _layer(variable: str) -> int:
    """The layer that a cache belongs to, such as 3 of past_key_values.3.keypresent.3.key."""
    found = re.search(r"\.(\d+)\.", variable)
    return int(found[1]) if found else 0
