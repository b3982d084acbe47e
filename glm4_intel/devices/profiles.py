"""How each kind of device is run in each profile: OpenVINO's properties and the engine's options, with their reasons.

Attention is paged on CPU and GPU throughout: it reuses what earlier turns computed, and the plain kind (SDPA) took
106 ms a token where it took 89 to 98. Threads, streams, pinning, hyper-threading and kinds of cores are left to the
plugin, which knows the machine; but for a control group's limit, which it does not look at.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import Glm4Error
from ..machine.cores import core_quota, scheduled_cores, usable_cores
from ..machine.folders import cache_folder
from ..machine.processor import instruction_sets

PROFILES = {
    "chat": "the least time a token for one conversation (default)",
    "long-prompt": "the least time to the first token of prompts of a thousand tokens and more",
    "throughput": "several conversations at once: all their next tokens are computed in one pass over the weights",
    "plain": "OpenVINO's own defaults: to compare with",
    "accurate": "full precision apart from the quantized weights: to compare backends, recipes and profiles with",
}


@dataclass(frozen=True)
class Setting:
    """The value of a property or of an option, and why it is that."""

    key: str
    value: Any
    reason: str


@dataclass(frozen=True)
class Profile:
    """A row of the table: OpenVINO's properties, and options of the engine (`backends.EngineOptions`)."""

    properties: tuple[Setting, ...] = ()
    engine: tuple[Setting, ...] = ()


_KV_F16 = Setting(
    "KV_CACHE_PRECISION", "f16",
    "GLM-4 has 2 KV heads: a thousand tokens of the 9B take 41 MB. The plugin's u8 would save half of that, and rounds "
    "so that its two attention back ends disagree.",
)  # fmt: skip
_KV_U8 = Setting(
    "KV_CACHE_PRECISION", "u8", "128 thousand tokens of the 9B take 2.7 GB, half of what they take in f16."
)
_UNPINNED = Setting(
    "ENABLE_CPU_PINNING", "NO",
    "Threads that may move to another core: beside 16 busy threads on 16 cores a token takes 0.43 of the time."
)  # fmt: skip
_KERNELS = "Compiled kernels are kept, so that the next start takes seconds."
_BUFFERS = (
    "The 9B's largest matrix takes 0.6 GB, below every device's limit for one buffer: larger ones would cost speed for "
    "nothing."
)
_SCALE = (
    "GLM-4 overflows f16 activations; the IR carries the factor that they are divided by (ACTIVATIONS_SCALE_FACTOR)."
)

_PIECES = Setting(
    "max_batched_tokens", 1024,
    "A prompt is read in pieces, between which a reply can be cancelled; larger ones gain little.",
)  # fmt: skip
_LARGE_PIECES = Setting("max_batched_tokens", 4096, "Fewer pieces of a long prompt: each reads all the weights again.")
_GUESSED = Setting("prompt_lookup", True, "Replies about a long text quote it: what is guessed from it costs no pass.")
_TOGETHER = (
    Setting("continuous_batching", True, "All replies' next tokens in one pass over the weights."),
    Setting("max_batched_tokens", 256, "Replies that are being written wait while a piece of a prompt is read."),
)
_LONG = (_GUESSED, _LARGE_PIECES)

_TABLE: dict[tuple[str, str], Profile] = {  # (kind of device, profile)
    ("CPU", "chat"): Profile(
        (
            Setting("INFERENCE_PRECISION_HINT", "f32",
                    "One token at a time is bound by reading weights, and bf16 on AMX adds conversions: with the next "
                    "setting a token takes 0.67 of the time of the defaults on a 16-core Xeon."),
            Setting("DYNAMIC_QUANTIZATION_GROUP_SIZE", "128",
                    "Activations become int8 in the weights' own groups, for VNNI's integer products; 0 takes 99 ms."),
            _KV_F16,
            _UNPINNED,
        ),
        (_PIECES,),
    ),
    ("CPU", "long-prompt"): Profile(
        (
            Setting("INFERENCE_PRECISION_HINT", "f32",
                    "Without AMX, with the next setting: a prompt of 512 in 0.79 of the time that bf16 took on a "
                    "processor with AVX512-BF16 (benchmarks/BENCHMARKS.md)."),
            Setting("DYNAMIC_QUANTIZATION_GROUP_SIZE", "128", "As for chat."),
            _KV_U8,
        ),
        _LONG,
    ),
    ("CPU with AMX", "long-prompt"): Profile(
        (
            Setting("INFERENCE_PRECISION_HINT", "bf16",
                    "AMX multiplies bf16 tiles: a prompt of 512 in 2.3 s on a 16-core Xeon, in f32 in 2.6 s."),
            _KV_U8,
        ),
        _LONG,
    ),
    ("CPU", "throughput"): Profile(
        (
            Setting("INFERENCE_PRECISION_HINT", "f32",
                    "As for chat: a few tokens a pass are still bound by the weights."),
            Setting("DYNAMIC_QUANTIZATION_GROUP_SIZE", "128", "As for chat."),
            _KV_U8,
        ),
        _TOGETHER,
    ),
    ("CPU", "plain"): Profile(engine=(_PIECES,)),
    ("CPU", "accurate"): Profile(
        (
            Setting("INFERENCE_PRECISION_HINT", "f32", "No rounding."),
            Setting("KV_CACHE_PRECISION", "f32", "No rounding."),
            Setting("DYNAMIC_QUANTIZATION_GROUP_SIZE", "0", "No rounding of activations."),
        ),
        (_PIECES,),
    ),
    ("GPU", "chat"): Profile(
        (
            Setting("INFERENCE_PRECISION_HINT", "f16", f"What Arc computes at full speed. {_SCALE}"),
            Setting("GPU_ENABLE_LARGE_ALLOCATIONS", "NO", _BUFFERS),
            Setting("CACHE_DIR", "", _KERNELS),
        ),
        (_PIECES,),
    ),
    ("GPU", "long-prompt"): Profile(
        (
            Setting("INFERENCE_PRECISION_HINT", "f16", f"What Arc computes at full speed. {_SCALE}"),
            Setting("KV_CACHE_PRECISION", "i8", "Half the memory of a long conversation."),
            Setting("CACHE_DIR", "", _KERNELS),
        ),
        _LONG,
    ),
    ("GPU", "throughput"): Profile(
        (
            Setting("INFERENCE_PRECISION_HINT", "f16", f"What Arc computes at full speed. {_SCALE}"),
            Setting("KV_CACHE_PRECISION", "i8", "Half the memory of each conversation."),
            Setting("CACHE_DIR", "", _KERNELS),
        ),
        _TOGETHER,
    ),
    ("GPU", "plain"): Profile(engine=(_PIECES,)),
    ("GPU", "accurate"): Profile(
        (
            Setting("INFERENCE_PRECISION_HINT", "f32", "No rounding, and no overflow of f16."),
            Setting("DYNAMIC_QUANTIZATION_GROUP_SIZE", "0", "No rounding of activations."),
            Setting("CACHE_DIR", "", _KERNELS),
        ),
        (_PIECES,),
    ),
    ("NPU", "chat"): Profile(
        (
            Setting("NPU_USE_NPUW", "YES", "Language models run on the NPU through its wrapper alone."),
            Setting("PREFILL_HINT", "DYNAMIC", "A prompt takes time by its own length, not by the longest one's."),
            Setting("GENERATE_HINT", "BEST_PERF", "Compiles for longer, once; the result is kept."),
            Setting("CACHE_DIR", "", _KERNELS),
        ),
    ),
    ("NPU", "long-prompt"): Profile(
        (
            Setting("NPU_USE_NPUW", "YES", "Language models run on the NPU through its wrapper alone."),
            Setting("PREFILL_HINT", "STATIC", "The whole length in one pass: for prompts that fill it."),
            Setting("GENERATE_HINT", "BEST_PERF", "Compiles for longer, once; the result is kept."),
            Setting("CACHE_DIR", "", _KERNELS),
        ),
    ),
}  # fmt: skip
_ENGINES_OWN = ("CACHE_DIR", "ENABLE_MMAP")
"""What the core itself takes, besides the plugin."""
_NPU_PIPELINE = ("NPU_USE_NPUW", "PREFILL_HINT", "GENERATE_HINT", "MAX_PROMPT_LEN", "MIN_RESPONSE_LEN", "BLOB_PATH",
                 "EXPORT_BLOB", "WEIGHTS_PATH", "NPU_COMPILATION_MODE_PARAMS", "NPU_TURBO")  # fmt: skip


def settings(device: str, profile: str = "chat") -> tuple[Setting, ...]:
    """The properties of a row, with its container's limits. Raises Glm4Error for an unknown profile."""
    rows = tuple(_with_folder(row) for row in _row(device, profile).properties)
    return rows + _threads() if device.partition(".")[0] == "CPU" else rows


def engine_settings(device: str, profile: str = "chat") -> dict[str, Any]:
    """The engine's options of a row. Raises Glm4Error for an unknown profile."""
    return {setting.key: setting.value for setting in _row(device, profile).engine}


def properties(device: str, profile: str = "chat") -> dict[str, Any]:
    """The OpenVINO properties for a device and a profile. Raises Glm4Error for a profile that there is not."""
    return {setting.key: setting.value for setting in settings(device, profile)}


def portable_properties(device: str, profile: str = "chat") -> dict[str, Any]:
    """The table's properties alone: none that are about this machine, such as its folders and its limits."""
    rows = _TABLE[device.partition(".")[0], profile].properties
    return {row.key: row.value for row in rows if row.key != "CACHE_DIR"}


def profile_rows() -> dict[str, tuple[Setting, ...]]:
    """Every row as it is on this machine, by kind of device and profile: properties, then the engine's options."""
    rows = [(kind, profile) for kind, profile in _TABLE if kind in ("CPU", "GPU", "NPU")]
    return {f"{kind} {profile}": settings(kind, profile) + _row(kind, profile).engine for kind, profile in rows}


def _row(device: str, profile: str) -> Profile:
    kind = device.partition(".")[0]
    if (kind, profile) not in _TABLE:
        known = [each for each in PROFILES if (kind, each) in _TABLE]
        raise Glm4Error(f"There is no profile {profile!r} for {kind}", f"There are {', '.join(known)}.")
    if kind == "CPU" and "AMX-BF16" in instruction_sets():
        return _TABLE.get(("CPU with AMX", profile), _TABLE[kind, profile])
    return _TABLE[kind, profile]


def parse_properties(given: Iterable[str]) -> dict[str, str]:
    """The command line's KEY=VALUE. Raises Glm4Error for one without its sign."""
    pairs = {}
    for text in given:
        key, sign, value = text.partition("=")
        if not (key and sign):
            raise Glm4Error(f"--property {text} is not of the form KEY=VALUE", "For example: NUM_STREAMS=1")
        pairs[key.strip()] = value.strip()
    return pairs


def check_properties(device: str, given: Mapping[str, Any]) -> None:
    """Raises Glm4Error, naming the nearest, for a property that the device's plugin does not have."""
    known = known_properties(device)
    for key in given:
        if known and key not in known and not key.startswith("NPUW_"):
            near = difflib.get_close_matches(key, known, 1)
            hint = f"Did you mean {near[0]}?" if near else "See: glm4-intel doctor --properties"
            raise Glm4Error(f"{device} has no property {key}", hint)


def known_properties(device: str) -> list[str]:
    """The properties that may be set for a device; none where its plugin can't be asked."""
    import openvino

    kind = device.partition(".")[0]
    try:
        supported = openvino.Core().get_property(device, "SUPPORTED_PROPERTIES")
    except RuntimeError:
        return []
    changeable = {str(key) for key, access in supported.items() if str(access) != "RO"}
    return sorted(changeable | set(_ENGINES_OWN) | (set(_NPU_PIPELINE) if kind == "NPU" else set()))


def _with_folder(setting: Setting) -> Setting:
    if setting.key != "CACHE_DIR":
        return setting
    return Setting(setting.key, str(cache_folder() / "compiled"), setting.reason)


def _threads() -> tuple[Setting, ...]:
    """A container's share of processor time, which the plugin does not look at: it would start a thread a core."""
    quota = core_quota()
    if quota is None or quota >= scheduled_cores():
        return ()
    threads = str(usable_cores())
    return (Setting("INFERENCE_NUM_THREADS", threads, f"The control group grants {quota:g} cores of processor time."),)
