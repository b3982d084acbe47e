"""Which device AUTO takes for a model directory, and why."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..artifact import ModelDirectory
from ..errors import Glm4Error
from ..memory import available_memory
from .discovery import Device, processor_device
from .footprint import USEFUL_CONTEXT, memory_needed

_ENOUGH_UNITS = 64
"""Execution units from which an integrated GPU is an Arc: the smaller ones are no faster than their CPU."""


@dataclass(frozen=True)
class Choice:
    """A device, and the reason in a few words."""

    device: Device
    reason: str


def choose(directory: ModelDirectory, devices: Sequence[Device]) -> Choice:
    """The best device for a model directory: by what it was made for, by memory, by capability.

    Raises Glm4Error if there is no device at all.
    """
    if directory.backend == "itrex":
        return Choice(processor_device(), "what ITREX computes on")
    recipe = directory.manifest.recipe.get("name", "") if directory.manifest else ""
    targets = directory.manifest.targets if directory.manifest else ["CPU", "GPU"]
    needed = memory_needed(directory, min(USEFUL_CONTEXT, directory.context_length))
    by_kind = sorted(devices, key=lambda device: (device.kind != "GPU", device.integrated, device.name))
    for device in by_kind:
        if device.kind == "NPU" and recipe.startswith("npu"):
            return Choice(device, "the model was made for it")
    for device in by_kind:
        if device.kind == "GPU" and "GPU" in targets and _is_fast(device) and room_on(device) >= needed:
            return Choice(device, f"the fastest here with room for {needed / 1e9:.1f} GB")
    for device in devices:
        if device.kind == "CPU":
            others = ", ".join(f"{each.name}: {_why_not(each, targets, needed)}" for each in devices if each != device)
            return Choice(device, others or "the only device here")
    raise Glm4Error(
        "OpenVINO finds no device, not even the CPU", "Install it again: pip install --force-reinstall openvino"
    )


def _is_fast(gpu: Device) -> bool:
    matrix_units = "GPU_HW_MATMUL" in gpu.capabilities
    return not gpu.integrated or matrix_units or (gpu.execution_units or 0) >= _ENOUGH_UNITS


def room_on(device: Device) -> int:
    """Bytes that a model can take on a device."""
    if device.kind == "CPU":
        return available_memory()
    return min(available_memory(), device.memory or 0) if device.integrated else device.memory or 0


def _why_not(device: Device, targets: Sequence[str], needed: int) -> str:
    if device.kind not in targets:
        return "the model was not made for it"
    if device.kind == "NPU":
        return "taken only for a model of the recipe npu"
    if not _is_fast(device):
        return "too few execution units to be faster"
    return f"no room for {needed / 1e9:.1f} GB"
