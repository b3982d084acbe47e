"""The devices that OpenVINO finds here, the properties each is run with, and what its refusals mean."""

from dataclasses import dataclass
from typing import Any

from .errors import Glm4Error

_HINTS = {  # what an engine's message holds: what to do
    "libOpenCL": "Install the GPU's compute runtime: libOpenCL and intel-opencl-icd.",
    "not registered": "Install the driver of the device, or use --device CPU.",
    "Cannot find": "Install the driver of the device, or use --device CPU.",
    "bad_alloc": "Close other programs, or use a smaller recipe.",
    "allocat": "Close other programs, or use a smaller recipe.",
}
_PROPERTIES: dict[tuple[str, str], dict[str, Any]] = {  # (kind of device, profile): OpenVINO properties
    # GLM-4 has 2 KV heads: at 2 bytes a value, a thousand tokens of the 9B take 41 MB. The plugin's default of one byte
    # saves little of that, and rounds so that its two attention back ends disagree.
    ("CPU", "chat"): {"KV_CACHE_PRECISION": "f16"},
    # No rounding beyond the weights': what a comparison of backends or of recipes is made with.
    ("CPU", "accurate"): {
        "INFERENCE_PRECISION_HINT": "f32",
        "KV_CACHE_PRECISION": "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
    },
    ("GPU", "chat"): {},
    ("GPU", "accurate"): {"INFERENCE_PRECISION_HINT": "f32"},
    ("NPU", "chat"): {},
}


@dataclass(frozen=True)
class Device:
    """A device as OpenVINO names it."""

    name: str
    full_name: str

    @property
    def kind(self) -> str:
        """CPU, GPU or NPU."""
        return self.name.partition(".")[0]


def discover() -> list[Device]:
    """The devices that OpenVINO can use on this machine."""
    import openvino

    core = openvino.Core()
    return [Device(name, str(core.get_property(name, "FULL_DEVICE_NAME"))) for name in core.available_devices]


def require(name: str) -> Device:
    """The device of that name, or a Glm4Error that lists those there are."""
    devices, wanted = discover(), name.upper()
    if wanted == "AUTO":
        return devices[0]
    for device in devices:
        if device.name in (wanted, f"{wanted}.0"):
            return device
    there = ", ".join(device.name for device in devices)
    hint = f"There is {there}. Is the driver installed? See: glm4-intel doctor"
    raise Glm4Error(f"There is no device {name} on this machine", hint)


def properties(device: str, profile: str = "chat") -> dict[str, Any]:
    """The OpenVINO properties for a device and a profile. Raises Glm4Error for a profile that there is not."""
    kind = device.partition(".")[0]
    if (kind, profile) not in _PROPERTIES:
        known = sorted(profile for known_kind, profile in _PROPERTIES if known_kind == kind)
        raise Glm4Error(f"There is no profile {profile!r} for {kind}", f"There are {', '.join(known)}.")
    return dict(_PROPERTIES[kind, profile])


def device_error(device: str, error: Exception) -> Glm4Error:
    """An engine's refusal as one line and what to do about it."""
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = next((line for line in reversed(lines) if not line.startswith(("Exception from", "Check '"))), text)
    hint = next((hint for sign, hint in _HINTS.items() if sign in text), "See: glm4-intel doctor")
    return Glm4Error(f"{device} refuses the model: {said}", hint)
