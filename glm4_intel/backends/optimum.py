"""The reference backend: optimum-intel's OVModelForCausalLM.

Slower than the default and without prefix reuse; what the default is compared with.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from optimum.intel import OVModelForCausalLM

from ..devices import Footprint, Machine, device_error, footprint
from ..model_directory import ModelDirectory
from .base import Plan
from .openvino_ir import chosen, fingerprint
from .options import LoadOptions
from .sampling import refuse_unsampled, sample
from .turns import EngineThread, Writing, one_after_another

__all__ = ["create", "fingerprint", "plan"]


def plan(directory: ModelDirectory, options: LoadOptions, machine: Machine) -> Plan:
    """See `base.Engine`."""
    options.engine.require_none_but("The backend optimum", "context")
    options.require_no_adapters("The backend optimum")
    choice, properties = chosen(directory, options, machine)
    bare = Footprint(weights=footprint.weights_bytes(directory.path))
    token = footprint.kv_token_bytes(directory.config, str(properties.get("KV_CACHE_PRECISION", "f16")))
    room = None if options.ignore_limits else machine.room_on(choice.device)
    context = footprint.context_that_fits(directory, options.engine.context, bare, token, room, choice.device.name)
    return Plan(
        directory=directory.path, device=choice.device, context=context, cached_tokens=context,
        footprint=replace(bare, cache=context * token), properties=properties, reason=choice.reason,
        engine=replace(options.engine, context=context),
    )  # fmt: skip


def create(plan: Plan) -> EngineThread:
    """Compile the model on the device. Raises Glm4Error if the device refuses it."""
    try:
        model = OVModelForCausalLM.from_pretrained(
            plan.directory, device=plan.device.name, ov_config=dict(plan.properties)
        )
    except RuntimeError as error:
        raise device_error(plan.device.name, error) from error
    return EngineThread(one_after_another(partial(_generate, model)))


def _generate(model: Any, mailbox: Writing) -> None:
    refuse_unsampled("optimum", mailbox.request)
    past, length = None, 0

    def read(feed: Sequence[int]) -> torch.Tensor:
        nonlocal past, length
        length += len(feed)
        mask = torch.ones((1, length), dtype=torch.int64)
        output = model(torch.tensor([feed]), attention_mask=mask, past_key_values=past, use_cache=True)
        past = output.past_key_values
        return output.logits[0, -1]

    for id in sample(read, mailbox.request, lambda: mailbox.over):
        mailbox.write([id])
