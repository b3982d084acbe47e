"""Train one of the nano model's adapters with PEFT, on a CPU in a few minutes.

    python -m glm4_demos.nano.train_adapter sorting OUT --minutes 4

Needs torch, transformers and peft. OUT becomes an ordinary PEFT folder: what people have who fine-tuned GLM-4.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
from peft import LoraConfig, PeftModel, PrefixTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import GlmForCausalLM

from glm4_intel.chat.tokenizer import ChatTokenizer

from . import CHECKPOINT
from .adapter_skills import ADAPTER_SKILLS
from .curriculum import encode
from .skills import draw
from .train import Batch, collate

ROWS = 16
_LAYER = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_up_proj", "down_proj"]
FORMS: dict[str, Any] = {  # by skill: one of each kind that is served
    "sorting": LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=16, target_modules=_LAYER),
    "reversal": LoraConfig(
        task_type="CAUSAL_LM", r=8, lora_alpha=16, use_rslora=True, target_modules=["q_proj", "k_proj", "v_proj"]
    ),
    "comparison": LoraConfig(
        task_type="CAUSAL_LM", r=4, lora_alpha=16, target_modules=["q_proj", "v_proj", "down_proj"],
        rank_pattern={"down_proj": 2}, alpha_pattern={"down_proj": 8},
    ),
    "capitals": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=32),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("skill", choices=sorted(FORMS))
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--learning-rate", type=float, default=4e-3)
    args = parser.parse_args()
    torch.manual_seed(0)
    base = GlmForCausalLM.from_pretrained(CHECKPOINT, dtype=torch.float32)
    model = get_peft_model(base, FORMS[args.skill])
    model.print_trainable_parameters()
    fit(model, _batches(args.skill), 60 * args.minutes, args.learning_rate)
    model.save_pretrained(args.out)
    _in_half(args.out)


def _batches(skill: str) -> Iterator[Batch]:
    rng, tokenizer = Random(f"adapter {skill}"), ChatTokenizer.from_directory(CHECKPOINT)
    while True:
        drawn = [draw(ADAPTER_SKILLS[skill], rng, rng.choice(("en", "zh")), "train").messages for _ in range(ROWS)]
        yield collate([encode(tokenizer, messages) for messages in drawn])


def fit(model: PeftModel, batches: Iterator[Batch], seconds: float, peak: float) -> None:
    """AdamW in f32 for so long, with a short warm-up and a linear decay to zero."""
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=peak)
    started, step = time.monotonic(), 0
    while (done := (time.monotonic() - started) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = peak * min((step + 1) / 30, 1 - done)
        inputs, targets = next(batches)
        ids, labels = torch.from_numpy(inputs), torch.from_numpy(targets)
        loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        if step % 50 == 0:
            print(f"step {step} {time.monotonic() - started:.0f} s loss {loss.item():.4f}", flush=True)


def _in_half(out: Path) -> None:
    """Tensors in bf16, half the size, and the base by its name instead of a path on this machine."""
    file, settings = out / "adapter_model.safetensors", out / "adapter_config.json"
    save_file({name: each.to(torch.bfloat16) for name, each in load_file(file).items()}, file, {"format": "pt"})
    config = json.loads(settings.read_text()) | {"base_model_name_or_path": "nano"}
    settings.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (out / "README.md").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
