"""The default backend: OpenVINO GenAI, with paged attention on CPU and GPU, with static shapes on NPU."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..base import Backend, EngineOptions


def create(directory: Path, device: str, properties: Mapping[str, Any], options: EngineOptions) -> Backend:
    """Compile the model on the device. Raises Glm4Error if the device refuses it."""
    if device.startswith("NPU"):
        from . import static

        return static.create(directory, device, properties, options)
    if options.batch:
        from . import batched

        return batched.create(directory, device, properties, options)
    from . import paged

    return paged.create(directory, device, properties, options)
