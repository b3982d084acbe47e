"""Attention in bf16 beside products in another precision, on a CPU.

OpenVINO's precision hint is one for the whole graph: a token is fastest in f32 with int8 activations, a long prompt's
attention in bf16, on AMX. So the queries, the cache of keys and values and the mask are converted in the graph itself.
The caches are the model's state; their own type is bf16, since a conversion behind them would hide them from the
engine's paged attention, which looks for their pattern.
"""

from typing import Any

import openvino
from openvino import Model
from openvino import opset13 as op
from openvino.op import assign, read_value
from openvino.op.util import Variable, VariableInfo

from glm4_intel.backends.openvino_ir import attentions, joined_cache

_CACHED = (1, 2)
"""The inputs of an attention that are keys and values."""


def compute_attention_in_bf16(model: Model) -> int:
    """Convert what every attention takes to bf16 and what it gives back, in place; return how many there are."""
    found = attentions(model)
    sinks = {sink.get_variable_id(): sink for sink in model.get_sinks()}
    for attention in found:
        for port, value in enumerate(attention.input_values()):
            if port in _CACHED:
                _keep_in_bf16(model, joined_cache(value), sinks)
            else:
                attention.input(port).replace_source_output(_bf16(value))
        readers = list(attention.output(0).get_target_inputs())
        given = op.convert(attention.output(0), "f32").output(0)
        for reader in readers:
            reader.replace_source_output(given)
    model.validate_nodes_and_infer_types()
    return len(found)


def _keep_in_bf16(model: Model, joined: Any, sinks: dict[str, Any]) -> None:
    """Put a state of bf16 in the place of the one that `joined` begins with."""
    reordered = joined.input_value(0).get_node()  # by the beam search
    old = reordered.input_value(0).get_node()
    info = VariableInfo()
    info.variable_id, info.data_shape = old.get_variable_id(), old.get_output_partial_shape(0)
    info.data_type = openvino.Type.bf16
    state = Variable(info)
    reordered.input(0).replace_source_output(read_value(_bf16(old.input_value(0)), state).output(0))
    joined.input(1).replace_source_output(_bf16(joined.input_value(1)))
    for node in (reordered, joined):  # the state's own type is compared with what it is given
        node.constructor_validate_and_infer_types()
    model.remove_sink(sinks[info.variable_id])
    (variable,) = (each for each in model.get_variables() if each.info.variable_id == info.variable_id)
    model.remove_variable(variable)
    model.add_variables([state])
    model.add_sinks([assign(joined, state)])


def _bf16(value: Any) -> Any:
    return op.convert(value, "bf16").output(0)
