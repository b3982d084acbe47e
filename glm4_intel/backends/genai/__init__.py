"""The default backend: OpenVINO GenAI, with paged attention on CPU and GPU, with static shapes on NPU."""

from ..base import Backend, Plan
from ..openvino_ir import fingerprint
from .plan import plan

__all__ = ["create", "fingerprint", "plan"]


def create(plan: Plan) -> Backend:
    """Compile the model on the device. Raises Glm4Error if the device refuses it."""
    if plan.device.kind == "NPU":
        from . import npu

        return npu.create(plan)
    if plan.engine.continuous_batching:
        from . import batched

        return batched.create(plan)
    from . import paged

    return paged.create(plan)
