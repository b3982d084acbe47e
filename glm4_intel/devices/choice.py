"""Which device AUTO takes for a model directory, and why."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import Glm4Error
from ..model_directory import ModelDirectory
from .discovery import Device
from .footprint import USEFUL_CONTEXT, memory_needed
from .inventory import Machine

_ENOUGH_UNITS = 64
"""Execution units from which an integrated GPU is an Arc: the smaller ones are no faster than their CPU."""


@dataclass(frozen=True)
class Choice:
    """A device, and the reason in a few words."""

    device: Device
    reason: str


def choose(directory: ModelDirectory, machine: Machine) -> Choice:
    """The best device for a model directory: by what it was made for, by memory, by capability.

    Raises Glm4Error if there is no device at all.
    """
    recipe = directory.manifest.recipe.get("name", "") if directory.manifest else ""
    targets = directory.manifest.targets if directory.manifest else ["CPU", "GPU"]
    needed = memory_needed(directory, min(USEFUL_CONTEXT, directory.context_length))
    by_kind = sorted(machine.devices, key=lambda device: (device.kind != "GPU", device.integrated, device.name))
    for device in by_kind:
        if device.kind == "NPU" and recipe.startswith("npu"):
            return Choice(device, "the model was made for it")
    for device in by_kind:
        if device.kind == "GPU" and "GPU" in targets and _is_fast(device) and machine.room_on(device) >= needed:
            return Choice(device, f"the fastest here with room for {needed / 1e9:.1f} GB")
    for device in machine.devices:
        if device.kind == "CPU":
            others = [each for each in machine.devices if each != device]
            reasons = ", ".join(f"{each.name}: {_why_not(each, targets, needed)}" for each in others)
            return Choice(device, reasons or "the only device here")
    raise Glm4Error(
        "OpenVINO finds no device, not even the CPU", "Install it again: pip install --force-reinstall openvino"
    )


def _is_fast(gpu: Device) -> bool:
    matrix_units = "GPU_HW_MATMUL" in gpu.capabilities
    return not gpu.integrated or matrix_units or (gpu.execution_units or 0) >= _ENOUGH_UNITS


def _why_not(device: Device, targets: Sequence[str], needed: int) -> str:
    if device.kind not in targets:
        return "the model was not made for it"
    if device.kind == "NPU":
        return "taken only for a model of the recipe npu"
    if not _is_fast(device):
        return "too few execution units to be faster"
    return f"no room for {needed / 1e9:.1f} GB"
