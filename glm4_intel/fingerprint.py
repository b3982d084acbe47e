"""What a model directory computes for fixed ids: proof that this engine runs what was exported as it ran there.

The fingerprint is of the embedding, the first layers, the last norm and lm_head. The layers between repeat the same
operations on other weights, which the hashes prove; the engine would repack those of a 9B for half a minute first.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .artifact import Manifest, read_json
from .devices import device_error, properties
from .errors import Glm4Error

TOKENS, LAYERS = 8, 2
_PLACES = 64
_TOLERANCE = 0.01


@dataclass(frozen=True)
class Fingerprint:
    """Logits of the shortened model: `logits[i]` is that of vocabulary entry `places[i]` after the last of `ids`."""

    layers: int
    ids: list[int]
    places: list[int]
    logits: list[float]
    likeliest: int
    engine: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def difference(self, other: "Fingerprint") -> float:
        """The largest difference of a logit, as a share of the spread of these."""
        mine, others = np.array(self.logits), np.array(other.logits)
        return float(np.abs(mine - others).max() / max(float(np.ptp(mine)), 1e-6))

    def agrees(self, other: "Fingerprint") -> bool:
        """Whether both are of the same model; processors differ in the last digits."""
        return (
            self.layers == other.layers
            and len(self.logits) == len(other.logits)
            and self.difference(other) <= _TOLERANCE
        )


def take(directory: Path, manifest: Manifest | None = None) -> Fingerprint:
    """The fingerprint of a model directory, on the CPU without any rounding beyond the weights'.

    Raises Glm4Error if the engine refuses the model or it computes no finite number.
    """
    found = _of_itrex(directory, manifest) if manifest and manifest.backend == "itrex" else _of_ir(directory)
    if not np.isfinite(found.logits).all():
        raise Glm4Error(f"{directory} computes NaN or infinity", "Make it again, from a checkpoint that is whole.")
    return found


def _of_ir(directory: Path) -> Fingerprint:
    import openvino

    core = openvino.Core()
    try:
        shortened, layers = _shortened(core.read_model(directory / "openvino_model.xml"))
        compiled = core.compile_model(shortened, "CPU", properties("CPU", "accurate"))
        ids = _ids(compiled.output("logits").partial_shape[-1].get_length())
        logits = next_logits(compiled.create_infer_request(), ids)[-1]
    except RuntimeError as error:
        raise device_error("CPU", error) from error
    return _of_logits(logits, ids, layers, openvino.__version__)


def _of_itrex(directory: Path, manifest: Manifest) -> Fingerprint:
    """Of all the layers: nothing is repacked first."""
    from .backends import backend_factory

    backend_factory("itrex")  # says which environment is wanted where it is another
    from .backends import itrex

    config = read_json(directory / "config.json")
    model = itrex.model_over(itrex.read_tensors(directory), config, manifest.recipe)
    ids = _ids(config["vocab_size"])
    logits = itrex.THREAD.submit(itrex.compute, model, ids).result().numpy()
    return _of_logits(logits, ids, config["num_hidden_layers"], itrex.engine())


def _ids(vocabulary: int) -> list[int]:
    return [(1 + 7919 * index) % vocabulary for index in range(TOKENS)]  # spread over the vocabulary


def _of_logits(logits: np.ndarray, ids: list[int], layers: int, engine: str) -> Fingerprint:
    places = np.linspace(0, len(logits) - 1, _PLACES).astype(int).tolist()
    chosen = [round(float(logits[place]), 5) for place in places]
    return Fingerprint(layers, ids, places, chosen, int(logits.argmax()), engine)


def require_loads(directory: Path) -> None:
    """Compile the whole graph for the CPU. Raises Glm4Error if the engine refuses it."""
    import openvino

    try:
        openvino.Core().compile_model(directory / "openvino_model.xml", "CPU")
    except RuntimeError as error:
        raise device_error("CPU", error) from error


def _shortened(model: Any) -> tuple[Any, int]:
    """The model with its first layers alone, and how many; the whole one where its layers can't be told apart."""
    import openvino

    nodes = model.get_ordered_ops()
    entry, norm = _stream_into(nodes, f"__module.model.layers.{LAYERS}.input_layernorm/"), "__module.model.norm/"
    last = _stream_into(nodes, norm)
    if entry is None or last is None:
        return model, 0
    for target in last.get_target_inputs():
        if target.get_node().get_friendly_name().startswith(norm):
            target.replace_source_output(entry)
    sinks = [sink for sink in model.get_sinks() if _layer(sink.get_variable_id()) < LAYERS]
    return openvino.Model(model.get_results(), sinks, model.get_parameters()), LAYERS


def _stream_into(nodes: list[Any], prefix: str) -> Any:
    """The output that the operations named with a prefix get from elsewhere in the graph, constants aside."""
    for node in nodes:
        if node.get_friendly_name().startswith(prefix):
            for source in (value.get_source_output() for value in node.inputs()):
                name = source.get_node().get_friendly_name()
                if name.startswith("__module.") and not name.startswith(prefix):
                    return source
    return None


def _layer(variable: str) -> int:
    """The layer that a cache belongs to, such as 3 of past_key_values.3.keypresent.3.key."""
    found = re.search(r"\.(\d+)\.", variable)
    return int(found[1]) if found else 0


def next_logits(request: Any, ids: list[int]) -> np.ndarray:
    """The logits [tokens, vocabulary], float32, that an infer request gives for `ids` from an empty cache."""
    request.reset_state()
    return np.asarray(request.infer(model_inputs(ids))["logits"][0], dtype=np.float32)


def model_inputs(ids: Sequence[int]) -> dict[str, np.ndarray]:
    """What the exported model takes for one sequence from an empty cache."""
    row = np.array([ids], dtype=np.int64)
    return {
        "input_ids": row,
        "attention_mask": np.ones_like(row),
        "position_ids": np.arange(len(ids), dtype=np.int64)[None],
        "beam_idx": np.zeros(1, dtype=np.int32),
    }
