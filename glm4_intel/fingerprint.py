"""What a model directory computes for fixed ids: proof that it is what was exported, and that this engine runs it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .devices import device_error, properties
from .errors import Glm4Error

TOKENS = 8
_PLACES = 64
_TOLERANCE = 0.01


@dataclass(frozen=True)
class Fingerprint:
    """Logits after fixed ids: `logits[i]` is that of vocabulary entry `places[i]` after the last of `ids`."""

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
        return len(self.logits) == len(other.logits) and self.difference(other) <= _TOLERANCE


def take(directory: Path) -> Fingerprint:
    """The fingerprint of a model directory's IR, on the CPU without any rounding beyond the weights'.

    Raises Glm4Error if the engine refuses the IR or it computes no finite number.
    """
    import openvino

    try:
        compiled = openvino.Core().compile_model(directory / "openvino_model.xml", "CPU", properties("CPU", "accurate"))
        vocabulary = compiled.output("logits").partial_shape[-1].get_length()
        ids = [(1 + 7919 * index) % vocabulary for index in range(TOKENS)]  # spread over the vocabulary
        logits = next_logits(compiled.create_infer_request(), ids)[-1]
    except RuntimeError as error:
        raise device_error("CPU", error) from error
    if not np.isfinite(logits).all():
        raise Glm4Error(f"{directory} computes NaN or infinity", "Export it again, from a checkpoint that is whole.")
    places = np.linspace(0, vocabulary - 1, _PLACES).astype(int).tolist()
    return Fingerprint(
        ids, places, [round(float(logits[place]), 5) for place in places], int(logits.argmax()), openvino.__version__
    )


def next_logits(request: Any, ids: list[int]) -> np.ndarray:
    """The logits [tokens, vocabulary], float32, that an infer request gives for `ids` from an empty cache."""
    request.reset_state()
    row = np.array([ids], dtype=np.int64)
    result = request.infer(
        {
            "input_ids": row,
            "attention_mask": np.ones_like(row),
            "position_ids": np.arange(len(ids), dtype=np.int64)[None],
            "beam_idx": np.zeros(1, dtype=np.int32),
        }
    )
    return np.asarray(result["logits"][0], dtype=np.float32)
