"""What this machine's processor can do: instruction sets, kinds of cores, NUMA nodes, and what a container leaves."""

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from .cores import core_quota, usable_cores

_INSTRUCTION_SETS = {  # flag in /proc/cpuinfo: name
    "avx2": "AVX2",
    "avx_vnni": "AVX-VNNI",
    "avx512f": "AVX512",
    "avx512_vnni": "AVX512-VNNI",
    "avx512_bf16": "AVX512-BF16",
    "avx512_fp16": "AVX512-FP16",
    "amx_bf16": "AMX-BF16",
    "amx_int8": "AMX-INT8",
}
_WINDOWS_FEATURES = {40: "AVX2", 41: "AVX512"}  # PF_… of IsProcessorFeaturePresent


@dataclass(frozen=True)
class Processor:
    """A machine's processor, and how much of it this process may use."""

    name: str
    instruction_sets: tuple[str, ...]
    physical_cores: int
    logical_cores: int
    performance_cores: int
    """Logical processors of the fast kind; 0 where all are of one kind."""
    efficient_cores: int
    numa_nodes: int
    usable_cores: int
    quota: float | None
    """Processor time in cores that a control group grants; None for no limit."""


def processor(root: Path = Path("/")) -> Processor:
    """This machine's processor; `root` is where /proc and /sys are."""
    import psutil

    logical = os.cpu_count() or 1
    return Processor(
        _cpuinfo(root)[0] or platform.processor(),
        instruction_sets(root),
        psutil.cpu_count(logical=False) or logical,
        logical,
        _listed(root / "sys/devices/cpu_core/cpus"),
        _listed(root / "sys/devices/cpu_atom/cpus"),
        len(list((root / "sys/devices/system/node").glob("node[0-9]*"))) or 1,
        usable_cores(),
        core_quota(),
    )


def instruction_sets(root: Path = Path("/")) -> tuple[str, ...]:
    """The vector and matrix instructions that inference profits from, from the oldest on."""
    flags = _cpuinfo(root)[1]
    return tuple(text for flag, text in _INSTRUCTION_SETS.items() if flag in flags) or _windows_features()


def _cpuinfo(root: Path) -> tuple[str, set[str]]:
    """Name and flags of the first processor."""
    try:
        text = (root / "proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return "", set()
    pairs = [line.partition(":") for line in text.split("\n\n")[0].splitlines()]
    fields = {key.strip(): value.strip() for key, _, value in pairs}
    return fields.get("model name", ""), set(fields.get("flags", "").split())


def _windows_features() -> tuple[str, ...]:
    if sys.platform != "win32":
        return ()
    import ctypes

    present = ctypes.windll.kernel32.IsProcessorFeaturePresent
    return tuple(name for number, name in _WINDOWS_FEATURES.items() if present(number))


def _listed(file: Path) -> int:
    """How many processors a list such as 0-11,14 names."""
    try:
        text = file.read_text(encoding="utf-8").strip()
    except OSError:
        return 0
    spans = [span.partition("-") for span in text.split(",") if span]
    return sum(int(last or first) - int(first) + 1 for first, _, last in spans)
