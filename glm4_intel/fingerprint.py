"""What a model computes for fixed ids: proof that this engine runs what was exported as it ran there."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .errors import Glm4Error

TOKENS = 8
_PLACES = 64
_TOLERANCE = 0.01


@dataclass(frozen=True)
class Fingerprint:
    """Logits of a model: `logits[i]` is that of vocabulary entry `places[i]` after the last of `ids`."""

    layers: int
    """How many of the model's layers computed it: an engine may leave those out that repeat the same operations."""
    ids: list[int]
    places: list[int]
    logits: list[float]
    likeliest: int
    engine: str

    @classmethod
    def of(cls, logits: np.ndarray, ids: Sequence[int], layers: int, engine: str) -> "Fingerprint":
        """Of the logits [vocabulary] after the last of the ids. Raises Glm4Error where one is not finite."""
        if not np.isfinite(logits).all():
            raise Glm4Error("The model computes NaN or infinity", "Make it again, from a checkpoint that is whole.")
        places = np.linspace(0, len(logits) - 1, _PLACES).astype(int).tolist()
        chosen = [round(float(logits[place]), 5) for place in places]
        return cls(layers, list(ids), places, chosen, int(logits.argmax()), engine)

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


def fixed_ids(vocabulary: int, count: int = TOKENS) -> list[int]:
    """The ids that fingerprints are taken of, spread over the vocabulary."""
    return [(1 + 7919 * index) % vocabulary for index in range(count)]
