"""What the engine's refusals mean: one line, and what to do about it."""

from ..errors import Glm4Error

_DRIVER = "Install the driver of the device, or use --device CPU. See: glm4-intel doctor"
_MEMORY = "Close other programs, or use a shorter --context or a smaller recipe."
_DAMAGED = "The model's files are damaged, or not of one export: copy or export the model again."
_HINTS = {  # what an engine's message holds: what to do
    "libOpenCL": "Install libOpenCL and Intel's compute runtime, or use --device CPU. See: glm4-intel doctor",
    "vcl_api": _DRIVER,
    "not registered": _DRIVER,
    "Cannot find": _DRIVER,
    "Cannot load library": "Install openvino again: a part of it is missing. See: glm4-intel doctor",
    "Context was not initialized": _DRIVER,
    "bad_alloc": _MEMORY,
    "allocat": _MEMORY,
    "Unsupported property": "See: glm4-intel doctor --properties",
    "Unable to read the model": _DAMAGED,
    "Incorrect weights": _DAMAGED,
    "Error parsing": _DAMAGED,
    "inconsistent": _DAMAGED,
    "opset": _DAMAGED,
    "not in graph": _DAMAGED,
    "supposed to be stateful": _DAMAGED,
    "has attribute": _DAMAGED,
    "Supported values": "Give one of these: --property KEY=VALUE",
}
_FRAMES = ("Exception from", "Check '", "Error: Exception from")


def device_error(device: str, error: Exception) -> Glm4Error:
    """An engine's refusal as one line and what to do about it."""
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = next((line for line in reversed(lines) if not line.startswith(_FRAMES)), text)
    hint = next((hint for sign, hint in _HINTS.items() if sign in text), "See: glm4-intel doctor")
    return Glm4Error(f"{device} refuses the model: {said}", hint)
