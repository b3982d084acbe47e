"""An exported model with a set of adapters in it."""

from collections.abc import Mapping, Sequence
from typing import Any

import openvino
from openvino import opset13 as op

from ....errors import Glm4Error
from ....model_directory.weight_shapes import head_size
from ...adapters import Adapter
from ...openvino_ir import attentions, has_int8_prefill, products
from .branches import Branches
from .constants import floats, integer, integers
from .marker import Attention, Place, marker_layer, marks
from .virtual import put_learnt_values, real_positions

_HEAD = "__module.lm_head"


def with_adapters(
    model: Any, adapters: Sequence[Adapter], places: Sequence[Place], first_token: int, config: Mapping[str, Any]
) -> Any:
    """The model in which the tokens of `places` choose an adapter, by their order; `first_token` is looked up for them.

    Raises Glm4Error for a model whose graph has not the form that it needs.
    """
    nodes = _changeable(model, adapters)
    attention = _attention(model, config)
    ids, positions = (_input(model, name) for name in ("input_ids", "position_ids"))
    readers, placed = _readers(ids), _readers(positions)
    found = marks(ids, positions, places)
    layer, batch = config["num_hidden_layers"], op.gather(op.shape_of(ids, "i64"), integers(0), integer(0))
    chosen, sinks = marker_layer(found, len(adapters), attention, layer, batch)
    marked = op.greater(op.reduce_max(found, integers(-1), keep_dims=False), floats(0.5))
    _redirect(readers, op.select(marked, integer(first_token), ids))
    prefixes = [each.prefix for each in adapters]
    if any(prefixes):
        put_learnt_values(attentions(model), found, positions, prefixes)
    if any(each and each.from_zero for each in prefixes):
        _redirect(placed, real_positions(positions, chosen, prefixes))
    Branches(chosen, [each.products for each in adapters]).add(nodes)
    edited = openvino.Model(model.get_results(), [*model.get_sinks(), *sinks], model.get_parameters(), model.get_name())
    for key, value in model.get_rt_info().items():
        edited.set_rt_info(value, key)
    edited.validate_nodes_and_infer_types()
    return edited


def _changeable(model: Any, adapters: Sequence[Adapter]) -> dict[str, Any]:
    """The model's products by name, lm_head's too.

    Raises Glm4Error where one is missing that an adapter changes, and for a graph with parts in int8 or bf16.
    """
    _require_plain(model)
    nodes = products(model)
    for node in model.get_ordered_ops():
        if node.get_type_name() == "MatMul" and node.get_friendly_name().startswith(_HEAD):
            nodes["lm_head"] = node
    for adapter in adapters:
        missing = next((name for name in adapter.products if name not in nodes), None)
        if missing:
            raise Glm4Error(f"{adapter.path} changes {missing}, which is not to be found in this model's graph")
    return nodes


def _require_plain(model: Any) -> None:
    """Raises Glm4Error for a graph with parts in another precision, which is not the adapters'."""
    if has_int8_prefill(model):
        raise Glm4Error(
            "A model with prompts in int8 can't be given adapters",
            "Export it with another recipe (--no-int8-prefill), or merge one adapter: export --adapter",
        )
    if any(node.get_input_element_type(0) == openvino.Type.bf16 for node in attentions(model)):
        raise Glm4Error(
            "A model with attention in bf16 can't be given adapters",
            "Export it with --no-bf16-attention, or merge one adapter: export --adapter",
        )


def _attention(model: Any, config: Mapping[str, Any]) -> Attention:
    found = attentions(model)
    if len(found) != config["num_hidden_layers"]:
        raise Glm4Error(
            "This model's graph has not the attention that adapters are added by",
            "Export it with this toolkit: glm4-intel export SOURCE OUT",
        )
    return Attention(config["num_attention_heads"], config["num_key_value_heads"], head_size(config), found[0])


def _input(model: Any, name: str) -> Any:
    return next(each.output(0) for each in model.get_parameters() if name in each.output(0).names)


def _readers(value: Any) -> list[Any]:
    """What takes a value itself, and not its shape."""
    return [each for each in value.get_target_inputs() if each.get_node().get_type_name() != "ShapeOf"]


def _redirect(readers: Sequence[Any], value: Any) -> None:
    for each in readers:
        each.replace_source_output(value.output(0))
