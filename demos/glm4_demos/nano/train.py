"""Train the nano model from nothing: tokenizer, then weights, into a Hugging Face checkpoint.

    python -m glm4_demos.nano.train OUT --steps 9000        # minutes on one data-centre GPU

Needs torch, transformers and safetensors. Data is drawn on the fly, seeded by worker and batch, and never repeats.
In the last third of the steps the weights are rounded to int4 in the forward pass (straight-through gradients), so
that the model keeps its skills when the toolkit compresses it.
"""

import argparse
import json
import math
import multiprocessing as mp
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import GlmConfig, GlmForCausalLM

from glm4_intel.chat.tokenizer import ChatTokenizer

from . import CHECKPOINT
from .curriculum import SKILLS, conversation, encode
from .skills import draw
from .tokenizer import SPECIAL_TOKENS, train_tokenizer

VOCAB_SIZE, CONTEXT, BATCH_TOKENS, GROUP = 3072, 2048, 1 << 15, 128
Batch = tuple[np.ndarray, np.ndarray]
"""Ids [rows, length] and targets [rows, length]; -100 where the model does not write."""


class RoundToInt4(nn.Module):
    """Symmetric int4 with one scale a group of inputs, as NNCF's int4_sym; the gradient passes straight through."""

    def forward(self, weight: Tensor) -> Tensor:
        groups = weight.unflatten(-1, (-1, GROUP))
        extreme = groups.gather(-1, groups.abs().argmax(-1, keepdim=True))
        scale = -extreme / 8 + 1e-12
        rounded = ((groups / scale).round().clamp(-8, 7) * scale).flatten(-2)
        return weight + (rounded - weight).detach()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--minutes", type=float, default=60, help="end the schedule here if the steps take longer")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--workers", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    template = (CHECKPOINT / "chat_template.jinja").read_text(encoding="utf-8")
    bpe = train_tokenizer(VOCAB_SIZE, template, args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    bpe.save(str(args.out / "tokenizer.json"))
    (args.out / "chat_template.jinja").write_text(template, encoding="utf-8")
    tokenizer = ChatTokenizer.from_directory(args.out)
    torch.manual_seed(args.seed)
    config = checkpoint_config(tokenizer)
    model = GlmForCausalLM(GlmConfig(**config)).to(device)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} million parameters", flush=True)
    data = batches(args.out, args.seed, args.workers)
    fit(model, tokenizer, data, Schedule(args.steps, 60 * args.minutes, args.learning_rate))
    save(model, config, args.out)


def checkpoint_config(tokenizer: ChatTokenizer) -> dict[str, Any]:
    """config.json in the form of GLM-4-9B-Chat's, with widths that int4 groups of 128 and the NPU accept."""
    return {
        "architectures": ["GlmForCausalLM"], "model_type": "glm", "attention_bias": True, "attention_dropout": 0.0,
        "eos_token_id": list(tokenizer.stop_ids), "pad_token_id": tokenizer.special_id("<|endoftext|>"), "head_dim": 64,
        "hidden_act": "silu", "hidden_size": 256, "initializer_range": 0.02, "intermediate_size": 640,
        "max_position_embeddings": CONTEXT, "num_attention_heads": 4, "num_hidden_layers": 8, "num_key_value_heads": 2,
        "partial_rotary_factor": 0.5, "rms_norm_eps": 1.5625e-07, "rope_theta": 10000.0, "tie_word_embeddings": False,
        "torch_dtype": "bfloat16", "transformers_version": "4.46.0", "use_cache": True, "vocab_size": VOCAB_SIZE,
    }  # fmt: skip


def batches(folder: Path, seed: int, workers: int) -> Iterator[Batch]:
    """Batches of about BATCH_TOKENS tokens, made by worker processes and taken from each in turn."""
    queues: list[Any] = [mp.Queue(maxsize=8) for _ in range(workers)]
    for index, queue in enumerate(queues):
        mp.Process(target=_produce, args=(folder, f"{seed}/{index}", queue), daemon=True).start()
    while True:
        for queue in queues:
            yield queue.get()


def _produce(folder: Path, seed: str, queue: Any) -> None:
    rng, tokenizer = Random(seed), ChatTokenizer.from_directory(folder)
    while True:
        pool = sorted((encode(tokenizer, conversation(rng)) for _ in range(2000)), key=lambda pair: len(pair[0]))
        made = list(_batches([pair for pair in pool if len(pair[0]) <= CONTEXT]))
        rng.shuffle(made)
        for batch in made:
            queue.put(batch)


def _batches(pool: list[tuple[list[int], list[bool]]]) -> Iterator[Batch]:
    """Conversations of like length, side by side, padded on the right."""
    while pool:
        rows = max(1, BATCH_TOKENS // len(pool[-1][0]))
        taken, pool = pool[-rows:], pool[:-rows]
        yield collate(taken)


def collate(pairs: list[tuple[list[int], list[bool]]]) -> Batch:
    """Ids padded with 0 on the right, and the targets of the same shape."""
    length = max(len(ids) for ids, _ in pairs)
    inputs = np.zeros((len(pairs), length), dtype=np.int64)
    targets = np.full((len(pairs), length), -100, dtype=np.int64)
    for row, (ids, learnt) in enumerate(pairs):
        inputs[row, : len(ids)] = ids
        targets[row, : len(ids)] = np.where(learnt, ids, -100)
    return inputs, targets


@dataclass
class Schedule:
    """A linear warm-up, then a cosine to zero, over `steps` or `seconds`, whichever ends first."""

    steps: int
    seconds: float
    peak: float

    def __post_init__(self) -> None:
        self.started = time.monotonic()

    def progress(self, step: int) -> float:
        return max(step / self.steps, (time.monotonic() - self.started) / self.seconds)

    def rate(self, step: int, progress: float) -> float:
        return self.peak * min((step + 1) / 200, 0.5 + 0.5 * math.cos(math.pi * progress))


def fit(model: GlmForCausalLM, tokenizer: ChatTokenizer, data: Iterator[Batch], schedule: Schedule) -> None:
    """AdamW in bf16 arithmetic, with int4 rounding in the last third."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=schedule.peak, betas=(0.9, 0.98), weight_decay=0.05, fused=model.device.type == "cuda"
    )
    held_out = held_out_sets(tokenizer, 256)
    step, rounding = 0, False
    losses: deque[Tensor] = deque(maxlen=100)
    while (progress := schedule.progress(step)) < 1:
        if progress > 2 / 3 and not rounding:
            rounding = True
            _round_weights(model)
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step, progress)
        loss = _loss(model, next(data))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.detach())
        step += 1
        if step % 1000 == 0:
            _report(model, held_out, step, schedule.started, torch.stack(list(losses)).mean().item())
    _report(model, held_out, step, schedule.started, torch.stack(list(losses)).mean().item())


def _round_weights(model: GlmForCausalLM) -> None:
    for module in model.model.layers.modules():
        if isinstance(module, nn.Linear):
            parametrize.register_parametrization(module, "weight", RoundToInt4())


def _loss(model: GlmForCausalLM, batch: Batch) -> Tensor:
    logits, wanted, _ = _written(model, batch)
    return nn.functional.cross_entropy(logits.float(), wanted)


def _written(model: GlmForCausalLM, batch: Batch) -> tuple[Tensor, Tensor, np.ndarray]:
    """Logits [n, vocab], ids [n] and row numbers [n] of the n places that the model writes.

    The places are found on the CPU, since a boolean mask on the GPU would wait for it in every step.
    """
    inputs, targets = batch
    rows, columns = (targets[:, 1:] != -100).nonzero()
    flat = torch.from_numpy(rows * inputs.shape[1] + columns).to(model.device, non_blocking=True)
    wanted = torch.from_numpy(targets[rows, columns + 1]).to(model.device, non_blocking=True)
    with torch.autocast(model.device.type, torch.bfloat16):
        ids = torch.from_numpy(inputs).to(model.device, non_blocking=True)
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
        return model.lm_head(hidden.flatten(0, 1).index_select(0, flat)), wanted, rows


def held_out_sets(tokenizer: ChatTokenizer, count: int) -> dict[str, list[tuple[list[int], list[bool]]]]:
    """For each skill, held-out conversations of which only the last turn counts."""
    rng, sets = Random("held-out"), {}
    for name, skill in SKILLS.items():
        examples = [draw(skill, rng, lang, "held-out").messages for lang in ("en", "zh") for _ in range(count // 2)]
        sets[name] = [_last_turn_only(tokenizer, messages) for messages in examples]
    return sets


def _last_turn_only(tokenizer: ChatTokenizer, messages: list[dict[str, Any]]) -> tuple[list[int], list[bool]]:
    ids, _ = encode(tokenizer, messages)
    start = len(tokenizer.encode(messages[:-1]))
    return ids, [index >= start for index in range(len(ids))]


@torch.no_grad()
def exact(model: GlmForCausalLM, pairs: list[tuple[list[int], list[bool]]]) -> float:
    """The share of replies that greedy decoding would write exactly, end token included."""
    right = 0
    for index in range(0, len(pairs), 16):
        batch = collate(pairs[index : index + 16])
        logits, wanted, rows = _written(model, batch)
        wrong = (logits.argmax(-1) != wanted).cpu().numpy()
        right += len(batch[0]) - len(np.unique(rows[wrong]))
    return right / len(pairs)


def _report(model: GlmForCausalLM, held_out: dict[str, Any], step: int, started: float, loss: float) -> None:
    spent = time.monotonic() - started
    model.eval()
    scores = {name: exact(model, pairs) for name, pairs in held_out.items()}
    model.train()
    shown = " ".join(f"{name} {score:.0%}" for name, score in scores.items())
    print(f"step {step} {spent:.0f} s {spent / step * 1000:.1f} ms/step loss {loss:.4f} | {shown}", flush=True)


def save(model: GlmForCausalLM, config: dict[str, Any], out: Path) -> None:
    """An ordinary Hugging Face checkpoint in bf16."""
    for module in model.modules():
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
    tensors = {name: tensor.to("cpu", torch.bfloat16).contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    generation = {"do_sample": True, "temperature": 0.8, "top_p": 0.8, "max_length": CONTEXT,
                  "eos_token_id": config["eos_token_id"], "pad_token_id": config["pad_token_id"]}  # fmt: skip
    tokenizer = {"clean_up_tokenization_spaces": False, "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>",
                 "model_max_length": CONTEXT, "padding_side": "left", "tokenizer_class": "PreTrainedTokenizerFast",
                 "additional_special_tokens": SPECIAL_TOKENS}  # fmt: skip
    for name, content in (("config", config), ("generation_config", generation), ("tokenizer_config", tokenizer)):
        (out / f"{name}.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
