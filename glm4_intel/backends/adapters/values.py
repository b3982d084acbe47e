"""What an adapter changes of a model."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class LowRank:
    """The change of one product's weight [outputs, inputs]: `scale · up · down`."""

    down: np.ndarray
    """[rank, inputs], float32."""
    up: np.ndarray
    """[outputs, rank], float32."""
    scale: float
    bias: np.ndarray | None = None
    """[outputs], added to the product's bias, times the scale."""
    magnitude: np.ndarray | None = None
    """[outputs]: with DoRA, the length that each row of the changed weight is given."""

    def delta(self, scale: float = 1.0) -> np.ndarray:
        """What is added to the weight [outputs, inputs]."""
        change: np.ndarray = (np.float32(self.scale * scale) * self.up) @ self.down
        return change

    def rows(self, first: int, count: int) -> "LowRank":
        """That of some of the weight's rows: a fused product's change is also that of its parts."""
        part = slice(first, first + count)
        return replace(
            self,
            up=self.up[part],
            bias=None if self.bias is None else self.bias[part],
            magnitude=None if self.magnitude is None else self.magnitude[part],
        )
