"""Compression recipes: what `nncf.compress_weights` is asked for, for which device, and why."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from glm4_intel.errors import Glm4Error

Mode = Literal["int4_sym", "int4_asym", "int8_sym", "int8_asym", "fp16", "none"]
Backup = Literal["int8_asym", "int8_sym", "none"]
Sensitivity = Literal[
    "weight_quantization_error", "hessian_input_activation", "mean_activation_variance", "max_activation_variance",
    "mean_activation_magnitude",
]  # fmt: skip
PER_ROW = -1


def _require(holds: bool, what: str, *right: object) -> None:
    if not holds:
        raise Glm4Error(f"A recipe can't have {what}", f"It can have {', '.join(map(str, right))}.")


@dataclass(frozen=True)
class Recipe:
    """How weights are compressed; `mode` "none" leaves them in the checkpoint's own type.

    Raises Glm4Error for values that NNCF would refuse, or that would have no effect.
    """

    name: str
    mode: Mode
    targets: tuple[str, ...]
    reason: str
    group_size: int = 128
    """Inputs that share a scale; -1 gives one scale to a whole row."""
    ratio: float = 1.0
    """The share of the layers' weights that gets `mode`; the rest gets `backup`."""
    backup: Backup = "int8_asym"
    """For the embedding, lm_head, and what `ratio` leaves; "none" leaves those uncompressed."""
    lm_head: Literal["backup", "mode"] = "backup"
    sensitivity: Sensitivity = "weight_quantization_error"
    """What chooses the layers that keep `backup` when `ratio` is below 1; all but the first need data."""
    awq: bool = False
    """Activation-aware weight quantization (https://arxiv.org/abs/2306.00978); NNCF can do it without data too."""
    scale_estimation: bool = False
    """Scales that minimise each layer's error over the data."""
    gptq: bool = False
    """Error compensation by second-order information (https://arxiv.org/abs/2210.17323)."""
    lora_correction: bool = False
    """Low-rank adapters beside each layer that correct its error."""
    int8_prefill: bool = False
    """A second way for prompts, on the CPU: int8 weights beside the int4 ones (`int8_prefill`)."""
    int8_prefill_except: tuple[str, ...] = ()
    """Patterns of the products that stay in one way, such as layers.3.* or *.down_proj."""
    int8_prefill_smoothing: bool = False
    """Outliers of the activations are moved into the int8 weights, by data (`int8_prefill.smoothing`)."""
    bf16_attention: bool = False
    """Attention in bf16 whatever the precision of the rest, on a CPU that has it: for long prompts (`attention`)."""
    calibrated: bool = False
    """Whether data is used. The three methods above and most sensitivities cannot do without."""

    def __post_init__(self) -> None:
        for name, kind in (("mode", Mode), ("backup", Backup), ("sensitivity", Sensitivity)):
            _require(getattr(self, name) in get_args(kind), f"{name} {getattr(self, name)!r}", *get_args(kind))
        _require(self.group_size == PER_ROW or self.group_size >= 16, f"group_size {self.group_size}", "16 or more", -1)
        _require(0 <= self.ratio <= 1, f"ratio {self.ratio}", "0 to 1")
        if not self.is_int4:
            for name in ("ratio", "lm_head", "backup", "int8_prefill", *METHODS):
                _require(getattr(self, name) == _DEFAULTS[name], f"{name} with mode {self.mode}", "int4_sym, int4_asym")
        _require(not (self.gptq and self.lora_correction), "gptq with lora_correction", "either of them")
        _require(not (self.lora_correction and self.mode == "int4_sym" and self.group_size == PER_ROW), 
                 "lora_correction with one scale a row", "a group size")  # fmt: skip
        _require(
            not (self.int8_prefill and self.lora_correction), "int8_prefill with lora_correction", "either of them"
        )
        for name in ("int8_prefill", "bf16_attention"):
            _require(not getattr(self, name) or self.targets == ("CPU",), f"{name} for {self.targets}", "CPU")
        for name in ("int8_prefill_except", "int8_prefill_smoothing"):
            _require(self.int8_prefill or not getattr(self, name), f"{name} without a second way", "int8_prefill")
        if self.calibrated:
            _require(bool(self.methods) or self.ratio < 1, "calibration data without a method that uses it", *METHODS)

    @property
    def is_int4(self) -> bool:
        return self.mode.startswith("int4")

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods beyond rounding to the nearest."""
        return tuple(name for name in METHODS if getattr(self, name))

    @property
    def needs_data(self) -> bool:
        by_data = self.ratio < 1 and self.sensitivity != "weight_quantization_error"
        return self.calibrated or self.scale_estimation or self.gptq or self.lora_correction or by_data

    @property
    def reads_samples(self) -> bool:
        """Whether calibration samples are looked at, by NNCF or for smoothing."""
        return self.needs_data or self.int8_prefill_smoothing

    def with_overrides(self, **changes: Any) -> "Recipe":
        """This recipe with single values changed, and a name and targets that say so."""
        if not changes:
            return self
        values = {field.name: getattr(self, field.name) for field in fields(self)} | changes
        if values["mode"] != self.mode and not str(values["mode"]).startswith("int4"):
            values |= {key: value for key, value in _DEFAULTS.items() if key not in changes}
        described = ", ".join(f"{key} {value}" for key, value in changes.items())
        npu = values["mode"] == "int4_sym" and values["group_size"] in (PER_ROW, 128)
        values["targets"] = tuple(target for target in self.targets if target != "NPU" or npu)
        if values["int8_prefill"] or values["bf16_attention"]:
            values["targets"] = ("CPU",)
        return Recipe(**values | {"name": f"{self.name}+", "reason": f"{self.reason} Changed by hand: {described}."})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


METHODS = ("awq", "scale_estimation", "gptq", "lora_correction")
_SECOND_WAY = ("int8_prefill", "int8_prefill_except", "int8_prefill_smoothing")
_DEFAULTS = {field.name: field.default for field in fields(Recipe) if field.name in
             ("ratio", "lm_head", "backup", "sensitivity", "calibrated", *_SECOND_WAY, *METHODS)}  # fmt: skip
_ALL = ("CPU", "GPU", "NPU")
_CPU_GPU = ("CPU", "GPU")

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("cpu", "int4_sym", _CPU_GPU,
               "Decodes fastest of all on every CPU measured, with AVX2 and on a Xeon with AMX: no zero points to "
               "read, and an lm_head at int8 that is as fast as one at int4."),
        Recipe("cpu-int8-prefill", "int4_sym", ("CPU",),
               "As `cpu`, and prompts are read in int8 (AMX, VNNI), which takes two and a half times the disk and the "
               "memory.", int8_prefill=True),
        Recipe("gpu", "int4_sym", _CPU_GPU,
               "Arc's matrix kernels take groups of 128 without a zero point at full speed."),
        Recipe("npu", "int4_sym", _ALL,
               "The NPU compiler takes symmetric int4 alone; one scale a row is its fast path.", PER_ROW),
        Recipe("int4-sym-g32", "int4_sym", _CPU_GPU,
               "Four times the scales of groups of 128: nearer to the original for 0.4 bits a weight more.", 32),
        Recipe("int4-sym-g64", "int4_sym", _CPU_GPU, "Between groups of 32 and 128 in size and error.", 64),
        Recipe("int4-sym-g128", "int4_sym", _ALL, "What `cpu` and `gpu` are, for an NPU too that takes groups."),
        Recipe("int4-asym-g32", "int4_asym", _CPU_GPU,
               "The nearest that rounding at int4 gets; slower, for its zero points.", 32),
        Recipe("int4-asym-g64", "int4_asym", _CPU_GPU, "Between groups of 32 and 128 in size and error.", 64),
        Recipe("int4-asym-g128", "int4_asym", _CPU_GPU,
               "Fits weights that lean to one side; decodes a third slower than symmetric on a Xeon."),
        Recipe("int4-asym-row", "int4_asym", ("CPU",), "The smallest with zero points, and the coarsest.", PER_ROW),
        Recipe("int4-lmhead4", "int4_sym", _CPU_GPU,
               "lm_head at int4 too: 0.3 GB less of the 9B; no faster on a Xeon, and it rounds the logits themselves.",
               lm_head="mode"),
        Recipe("int4-mixed", "int4_sym", _CPU_GPU,
               "The fifth of the layers that int4 hurts most, by the error of their weights, stays at int8.",
               ratio=0.8),
        Recipe("int4-mixed-data", "int4_sym", _CPU_GPU,
               "The fifth that int4 hurts most by what calibration data makes of it stays at int8.",
               ratio=0.8, sensitivity="max_activation_variance", calibrated=True),
        Recipe("int4-awq", "int4_sym", _CPU_GPU, "Activation-aware scaling, estimated without data.", awq=True),
        Recipe("int4-awq-data", "int4_sym", _CPU_GPU,
               "Activation-aware scaling and scale estimation over calibration data: the usual best at int4.",
               awq=True, scale_estimation=True, calibrated=True),
        Recipe("int4-scale", "int4_sym", _CPU_GPU,
               "Scales that minimise each layer's error over calibration data.",
               scale_estimation=True, calibrated=True),
        Recipe("int4-gptq", "int4_sym", _CPU_GPU,
               "Each column's error is made good by the columns after it; the slowest to make.",
               gptq=True, calibrated=True),
        Recipe("int4-lora", "int4_asym", ("CPU",),
               "int8 adapters of rank 8 beside each layer make good part of its error, and cost speed.",
               lora_correction=True, calibrated=True),
        Recipe("int8", "int8_asym", _CPU_GPU, "Twice the memory of int4, next to no loss.", PER_ROW),
        Recipe("int8-sym", "int8_sym", _ALL, "int8 without zero points.", PER_ROW),
        Recipe("fp16", "fp16", ("CPU", "GPU"),
               "Half precision, for a GPU with the memory; GLM-4 overflows its activations without scaling."),
        Recipe("none", "none", ("CPU",), "The checkpoint's own weights, bf16 as a rule: a reference to compare with."),
    )
}  # fmt: skip


def recipe_named(name: str) -> Recipe:
    """The recipe of that name. Raises Glm4Error listing those there are."""
    if name not in RECIPES:
        raise Glm4Error(f"There is no recipe {name!r}", f"There are {', '.join(RECIPES)}.")
    return RECIPES[name]
