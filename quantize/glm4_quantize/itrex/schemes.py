"""What ITREX's weight-only quantization is asked for, and what it would crash on or get wrong, refused beforehand.

The limits are those of ITREX 1.4.2's configs and QBits kernels, found by trying every combination: where a kernel is
missing the process aborts, and groups that do not divide a matrix's width give wrong numbers without a word.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from glm4_intel.errors import Glm4Error

METHODS = {
    "rtn": "rounds to the nearest value, layer by layer; needs no data and little memory",
    "gptq": "rounds in order, correcting what is left; needs data",
    "awq": "scales what matters most, then rounds; needs data",
    "teq": "learns the scales; needs data and time",
    "autoround": "learns the rounding; needs data and time",
}
WEIGHTS = {"int4_clip": 4, "nf4": 4, "fp4_e2m1": 4, "int8": 8}
"""Bits of each."""
_SHORT = {"int4": "int4_clip", "fp4": "fp4_e2m1"}
_FLOATS = ("nf4", "fp4_e2m1")
SCALES = {"fp32": 32, "bf16": 16}
COMPUTES = ("fp32", "int8", "bf16")
PER_ROW = -1


@dataclass(frozen=True)
class Scheme:
    """How weights are quantized and computed. Raises Glm4Error for what ITREX has not."""

    method: str = "rtn"
    weight_dtype: str = "int4_clip"
    group_size: int = 128
    """Inputs that share a scale; -1 for all of a row's."""
    symmetric: bool = True
    scale_dtype: str = "fp32"
    compute_dtype: str = ""
    """What activations are rounded to before they are multiplied; left out, the fastest that there is a kernel for."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight_dtype", _SHORT.get(self.weight_dtype, self.weight_dtype))
        if not self.compute_dtype:
            asymmetric = self.weight_dtype == "int8" and not self.symmetric
            slow = self.weight_dtype in _FLOATS or asymmetric or self.group_size == PER_ROW
            object.__setattr__(self, "compute_dtype", "fp32" if slow else "int8")
        if self.weight_dtype == "int4_fullrange":
            raise Glm4Error("ITREX 1.4.2 has no CPU kernel for int4_fullrange", "Take int4_clip.")
        for name, known in (("method", METHODS), ("weight_dtype", WEIGHTS), ("scale_dtype", SCALES),
                            ("compute_dtype", COMPUTES)):  # fmt: skip
            if getattr(self, name) not in known:
                raise Glm4Error(
                    f"ITREX has no {name.replace('_', ' ')} {getattr(self, name)}", f"There are {', '.join(known)}."
                )
        if self.group_size != PER_ROW and self.group_size < 8:
            raise Glm4Error(f"A group of {self.group_size} is too small", "Take 32 or 128, or -1 for a whole row.")
        for wrong, reason, hint in self._refusals():
            if wrong:
                raise Glm4Error(reason, hint)

    def _refusals(self) -> Sequence[tuple[bool, str, str]]:
        weights, compute = self.weight_dtype, self.compute_dtype
        return (
            (weights in _FLOATS and compute == "int8",
             f"ITREX has no kernel that computes {weights} weights in int8", "Take the compute type fp32."),
            (self.group_size == PER_ROW and compute == "int8",
             "ITREX fails to pack whole rows for computing in int8", "Take groups of 128, or the compute type fp32."),
            (not self.symmetric and weights in _FLOATS, f"{weights} has no zero point", "Take it symmetric."),
            (not self.symmetric and weights == "int8" and compute == "int8",
             "ITREX has no kernel for asymmetric int8 computed in int8", "Take fp32, or symmetric weights."),
            (not self.symmetric and self.scale_dtype != "fp32",
             f"ITREX has no asymmetric weights with {self.scale_dtype} scales", "Take fp32 scales."),
            (weights == "fp4_e2m1" and self.method != "rtn",
             f"ITREX's {self.method} does not know fp4_e2m1", "Take rtn, or another type."),
            (weights in ("nf4", "int8") and self.method == "autoround",
             f"ITREX's autoround fails for {weights}", "Take int4_clip, or gptq."),
        )  # fmt: skip

    @property
    def needs_data(self) -> bool:
        return self.method != "rtn"

    def require_fit(self, config: Mapping[str, Any], instruction_sets: Sequence[str]) -> None:
        """Raises Glm4Error for a model or a processor that the scheme does not fit."""
        if self.compute_dtype == "bf16" and "AMX_BF16" not in instruction_sets:
            raise Glm4Error("ITREX computes in bf16 with AMX alone, which this processor has not", "Take fp32 or int8.")
        attention = config["num_attention_heads"] * config["head_dim"]
        for width in (config["hidden_size"], attention, config["intermediate_size"]):
            if self.group_size != PER_ROW and width % self.group_size:
                raise Glm4Error(
                    f"Groups of {self.group_size} do not divide this model's width of {width:,}, and QBits would "
                    "compute wrong numbers",
                    "Take 32, 64 or 128, or -1 for a whole row.",
                )

    def bits(self, width: int) -> float:
        """Bits a weight on disk, its share of the scale included."""
        group = width if self.group_size == PER_ROW else self.group_size
        shared = SCALES[self.scale_dtype] + 32  # the scale, and a sum that computing in int8 wants
        return WEIGHTS[self.weight_dtype] + shared / group

    def to_dict(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "name": f"itrex {self.method}", "mode": self.weight_dtype, "ratio": 1.0, "backup": "int8",
            "reason": f"ITREX's {self.method}: {METHODS[self.method]}.", **asdict(self),
        }  # fmt: skip
