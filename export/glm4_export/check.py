"""How far a compressed model is from the checkpoint: greedy tokens and logits on a fixed prompt set."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from openvino import Core
from transformers import GlmForCausalLM

from glm4_intel.prompt import Prompt

PROMPTS = ("What is 17 + 25?", "你好，请介绍一下你自己。", "Count from 1 to 10.", "My name is Mira. What is my name?")
TOKENS = 16


@dataclass(frozen=True)
class Reference:
    """What the uncompressed model does with a prompt: its greedy ids, and the logits [vocabulary] of the first."""

    prompt: list[int]
    ids: list[int]
    logits: np.ndarray


@dataclass(frozen=True)
class Verification:
    """How many prompts were continued alike, and the largest difference of a logit after any of them."""

    prompts: int
    tokens_each: int
    same_tokens: int
    largest_logit_difference: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def reference(model: GlmForCausalLM, checkpoint: Path, count: int) -> list[Reference]:
    """The uncompressed model's continuations of the first `count` prompts."""
    prompt, references = Prompt.from_directory(checkpoint), []
    for text in PROMPTS[:count]:
        ids = prompt.encode([{"role": "user", "content": text}])
        with torch.inference_mode():
            logits = model(torch.tensor([ids])).logits[0, -1].float().numpy()
            written = model.generate(
                torch.tensor([ids]), max_new_tokens=TOKENS, do_sample=False, temperature=None, top_p=None
            )
        references.append(Reference(ids, written[0, len(ids) :].tolist(), logits))
    return references


def compare(directory: Path, references: list[Reference]) -> Verification:
    """The exported model held against the references, on the CPU."""
    request = Core().compile_model(directory / "openvino_model.xml", "CPU").create_infer_request()
    same, difference = 0, 0.0
    for expected in references:
        request.reset_state()
        logits = _infer(request, expected.prompt, 0)
        difference = max(difference, float(np.abs(logits - expected.logits).max()))
        ids = [int(logits.argmax())]
        while len(ids) < len(expected.ids):
            ids.append(int(_infer(request, ids[-1:], len(expected.prompt) + len(ids) - 1).argmax()))
        same += ids == expected.ids
    return Verification(len(references), TOKENS, same, round(difference, 4))


def _infer(request: Any, ids: list[int], past: int) -> np.ndarray:
    """The logits [vocabulary] after `ids`, of which `past` others came before."""
    positions = np.arange(past, past + len(ids), dtype=np.int64)[None]
    inputs = {
        "input_ids": np.array([ids], dtype=np.int64),
        "attention_mask": np.ones((1, past + len(ids)), dtype=np.int64),
        "position_ids": positions,
        "beam_idx": np.zeros(1, dtype=np.int32),
    }
    return request.infer(inputs)["logits"][0, -1].astype(np.float32)
