"""The NPU's pipeline: every shape is fixed when the model is compiled, so that the context has a given length.

The engine would answer a longer prompt with garbage on some versions; the runtime counts tokens first (prompt_limit).
"""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai

from ...devices import device_error
from ...errors import Glm4Error
from ...model_directory import sha256
from ..base import Plan
from ..options import EngineOptions
from ..turns import EngineThread, Writing, one_after_another
from .config import generation_config
from .streamer import Streamer, telling_faults_of_guides

_STEP = 64
"""The engine rounds the prompt's length up to a multiple of this."""


def create(plan: Plan) -> EngineThread:
    """Compile the model for the NPU, or take it compiled from a blob. Raises Glm4Error if the device refuses it."""
    prompt, response = lengths(plan.context)
    given = {**plan.properties, "MAX_PROMPT_LEN": prompt, "MIN_RESPONSE_LEN": response}
    blob = plan.engine.blob
    facts = {
        "model": _identity(plan.directory),
        "prompt": prompt,
        "response": response,
        "openvino": openvino.__version__,
    }
    if blob:
        given.pop("CACHE_DIR", None)
        given |= _blob_properties(plan.directory, blob, facts)
    try:
        tokenizer = openvino_genai.Tokenizer(plan.directory)
        pipeline = openvino_genai.LLMPipeline(plan.directory, tokenizer, plan.device.name, **given)
    except RuntimeError as error:
        raise device_error(plan.device.name, error) from error
    if blob:
        _facts_file(blob).write_text(json.dumps(facts), encoding="utf-8")
    return EngineThread(one_after_another(partial(_generate, pipeline, plan.engine)), prompt)


def _generate(pipeline: Any, engine: EngineOptions, mailbox: Writing) -> None:
    mailbox.request.require_no_adapter()
    row = np.array([mailbox.request.ids], dtype=np.int64)
    inputs = openvino_genai.TokenizedInputs(openvino.Tensor(row), openvino.Tensor(np.ones_like(row)))
    with telling_faults_of_guides():
        pipeline.generate(inputs, generation_config(mailbox.request, engine), Streamer(mailbox))


def lengths(context: int) -> tuple[int, int]:
    """How a context is shared between the prompt and the reply: three quarters for the prompt, in steps of 64."""
    prompt = max(_STEP, context * 3 // 4 // _STEP * _STEP)
    if context - prompt < 1:
        raise Glm4Error(f"A context of {context} tokens leaves no room for a reply", "Give --context 128 or more.")
    return prompt, context - prompt


def _blob_properties(directory: Path, blob: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Import a blob that was compiled for just this; export one where there is none."""
    if not blob.exists():
        blob.parent.mkdir(parents=True, exist_ok=True)
        return {"EXPORT_BLOB": "YES", "BLOB_PATH": str(blob)}
    try:
        recorded = json.loads(_facts_file(blob).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        recorded = {}
    for name, value in facts.items():
        if recorded.get(name) != value:
            raise Glm4Error(f"{blob} was compiled for another {name}", "Delete it to have it compiled again.")
    return {"BLOB_PATH": str(blob), "WEIGHTS_PATH": str(directory / "openvino_model.bin")}


def _facts_file(blob: Path) -> Path:
    return blob.with_name(f"{blob.name}.json")


def _identity(directory: Path) -> str:
    """What tells one model directory from another: the SHA-256 of its graph, which names its sizes and its layers."""
    return sha256(directory / "openvino_model.xml")
