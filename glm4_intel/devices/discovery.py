"""The devices that OpenVINO can use on this machine."""

from dataclasses import dataclass
from typing import Any

from ..errors import Glm4Error
from ..machine.memory import total_memory
from ..machine.packages import pip_command
from ..machine.processor import processor


@dataclass(frozen=True)
class Device:
    """A device as OpenVINO names it; what its driver does not tell is None or empty."""

    name: str
    full_name: str
    integrated: bool = True
    """Whether it shares the machine's memory."""
    memory: int | None = None
    """Bytes that it can use."""
    driver: str | None = None
    capabilities: tuple[str, ...] = ()
    """Number formats and units that it computes with, in OpenVINO's words: BF16, INT8, GPU_HW_MATMUL, …"""
    execution_units: int | None = None

    @property
    def kind(self) -> str:
        """CPU, GPU or NPU."""
        return self.name.partition(".")[0]

    @property
    def description(self) -> str:
        """The kind in words."""
        return f"{'integrated' if self.integrated else 'discrete'} GPU" if self.kind == "GPU" else self.kind


def discover() -> list[Device]:
    """The devices that OpenVINO can use on this machine; a driver that fails leaves its device out.

    Raises Glm4Error if there is no OpenVINO.
    """
    try:
        import openvino
    except ImportError as error:
        raise Glm4Error(f"OpenVINO is not there: {error}", f"Run: {pip_command('openvino')}") from error
    core = openvino.Core()
    return [device for name in core.available_devices if (device := _described(core, name))]


def processor_device() -> Device:
    """The CPU as this machine describes it, for backends without OpenVINO."""
    return Device("CPU", processor().name, memory=total_memory())


def _described(core: Any, name: str) -> Device | None:
    full_name = _property(core, name, "FULL_DEVICE_NAME")
    if full_name is None:
        return None
    kind = name.partition(".")[0]
    memory = total_memory() if kind == "CPU" else _property(core, name, f"{kind}_DEVICE_TOTAL_MEM_SIZE")
    driver = _property(core, name, "NPU_DRIVER_VERSION") if kind == "NPU" else None
    units = _property(core, name, "GPU_EXECUTION_UNITS_COUNT") if kind == "GPU" else None
    return Device(
        name,
        str(full_name).strip(),
        "discrete" not in str(_property(core, name, "DEVICE_TYPE")).lower(),
        int(memory) if memory else None,
        str(driver) if driver else None,
        tuple(_property(core, name, "OPTIMIZATION_CAPABILITIES") or ()),
        int(units) if units else None,
    )


def _property(core: Any, device: str, key: str) -> Any:
    try:
        return core.get_property(device, key)
    except RuntimeError:  # a driver that does not tell
        return None
