"""The paged-attention pipeline: a later turn skips what an earlier one computed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai

from ...devices import device_error
from ...errors import Glm4Error
from ...generation import GenerationParams
from ..base import EngineOptions
from .config import generation_config, scheduler_config
from .turns import Streamer, TurnTaking


def create(directory: Path, device: str, properties: Mapping[str, Any], options: EngineOptions) -> TurnTaking:
    """Compile the model on the device. Raises Glm4Error if the device refuses it."""
    options.require_none_but("The paged-attention pipeline", "context", "prompt_lookup", "draft", "sparse_attention",
                             "kv_eviction", "prefill")  # fmt: skip
    pipeline = paged_pipeline(directory, device, properties, options)

    def generate(ids: Sequence[int], params: GenerationParams, streamer: Streamer) -> None:
        prompt = openvino.Tensor(np.array([ids], dtype=np.int64))
        pipeline.generate([prompt], [generation_config(params, options)], streamer)

    return TurnTaking(generate)


def paged_pipeline(directory: Path, device: str, properties: Mapping[str, Any], options: EngineOptions) -> Any:
    """OpenVINO GenAI's continuous-batching pipeline for a model directory. Raises Glm4Error if the device refuses."""
    guessing: dict[str, Any] = {"prompt_lookup": True} if options.prompt_lookup else {}
    if options.draft:
        _require_same_tokenizer(directory, options.draft)
    scheduler = scheduler_config(directory, device, options)
    try:
        if options.draft:
            guessing["draft_model"] = openvino_genai.draft_model(options.draft, device, **properties)
        tokenizer = openvino_genai.Tokenizer(directory)
        return openvino_genai.ContinuousBatchingPipeline(
            directory, tokenizer, scheduler, device, **properties, **guessing
        )
    except RuntimeError as error:
        raise device_error(device, error) from error


def _require_same_tokenizer(directory: Path, draft: Path) -> None:
    """A draft's guesses are token ids: they must mean the same."""
    if not (draft / "openvino_model.xml").is_file():
        raise Glm4Error(f"{draft} is no model directory to draft with", "Make one with: glm4-intel export SOURCE OUT")
    if (directory / "tokenizer.json").read_bytes() != (draft / "tokenizer.json").read_bytes():
        raise Glm4Error(f"{draft} has another tokenizer than {directory}", "Draft with a model of the same family.")
