"""The paged-attention pipeline: a later turn skips what an earlier one computed."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import openvino
import openvino_genai

from ...devices import device_error
from ...model_directory import read_json
from ..base import Plan
from ..one_way import in_one_way
from ..turns import EngineThread, Writing, one_after_another
from .adapters import AdapterPrompts, adapted_directory, read_set
from .config import generation_config, scheduler_config
from .streamer import Streamer, telling_faults_of_guides


def create(plan: Plan) -> EngineThread:
    """Compile the model on the device. Raises Glm4Error if the device refuses it."""
    pipeline, prompts = paged_pipeline(plan)

    def generate(mailbox: Writing) -> None:
        prompt = openvino.Tensor(np.array([prompts.of(mailbox.request)], dtype=np.int64))
        with telling_faults_of_guides():
            pipeline.generate([prompt], [generation_config(mailbox.request, plan.engine)], Streamer(mailbox))

    return EngineThread(one_after_another(generate))


def paged_pipeline(plan: Plan) -> tuple[Any, AdapterPrompts]:
    """OpenVINO GenAI's continuous-batching pipeline for a plan, and what prompts for its adapters are made with.

    The adapters' own values are let go: the engine has them. Raises Glm4Error if the device refuses, and as `read_set`.
    """
    config = read_json(plan.directory / "config.json")
    adapters = read_set(plan.directory, config, plan.adapters)
    engine, device, properties = plan.engine, plan.device.name, plan.properties
    guessing: dict[str, Any] = {"prompt_lookup": True} if engine.prompt_lookup else {}
    scheduler = scheduler_config(plan)
    try:
        if engine.draft_model:
            guessing["draft_model"] = openvino_genai.draft_model(engine.draft_model, device, **properties)
        tokenizer = openvino_genai.Tokenizer(plan.directory)
        with (
            in_one_way(plan.directory) if plan.one_way else nullcontext(plan.directory) as directory,
            adapted_directory(directory, config, adapters) as folder,
        ):
            pipeline = openvino_genai.ContinuousBatchingPipeline(
                folder, tokenizer, scheduler, device, **properties, **guessing
            )
            return pipeline, adapters.prompts
    except RuntimeError as error:
        raise device_error(device, error) from error
