"""This machine, as plans are made for it: its devices and the memory that is free on them."""

from collections.abc import Sequence
from functools import cached_property

from ..errors import Glm4Error
from ..machine.memory import available_memory
from .discovery import Device, discover


class Machine:
    """Devices and free memory, looked up when they are first asked for; others can be given in their place."""

    def __init__(self, devices: Sequence[Device] | None = None, free_memory: int | None = None) -> None:
        self._devices, self._free_memory = devices, free_memory

    @cached_property
    def devices(self) -> tuple[Device, ...]:
        """Those that OpenVINO can use. Raises Glm4Error where there is no OpenVINO."""
        return tuple(discover() if self._devices is None else self._devices)

    @cached_property
    def free_memory(self) -> int:
        """Bytes that can be taken without swapping."""
        return available_memory() if self._free_memory is None else self._free_memory

    def require(self, name: str) -> Device:
        """The device of that name. Raises Glm4Error that lists those there are."""
        wanted = name.upper()
        for device in self.devices:
            if device.name in (wanted, f"{wanted}.0"):
                return device
        there = ", ".join(device.name for device in self.devices) or "none at all"
        hint = f"There is {there}. Is the driver installed? See: glm4-intel doctor"
        raise Glm4Error(f"There is no device {name} on this machine", hint)

    def room_on(self, device: Device) -> int:
        """Bytes that a model can take on a device."""
        if device.kind == "CPU":
            return self.free_memory
        return min(self.free_memory, device.memory or 0) if device.integrated else device.memory or 0
