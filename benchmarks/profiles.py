"""What each profile costs in fidelity: KL divergence and agreement to f32, and facts found in long passages.

    python benchmarks/profiles.py DIR              # DIR: the nano model, or any other for the divergence alone

The divergence is over the nano model's held-out conversations, the second half of each read after the first, as from a
KV cache. The passages have about 1,500 tokens; what eviction and sparse attention leave out of them shows there.
"""

import argparse
from pathlib import Path
from random import Random

import numpy as np
import openvino

from environment import environment
from glm4_demos.nano.curriculum import SKILLS
from glm4_demos.nano.measure import measure_skill
from glm4_demos.nano.skills import draw, quote
from glm4_intel import EngineOptions, load
from glm4_intel.backends.openvino_ir import model_inputs, next_logits
from glm4_intel.chat.tokenizer import ChatTokenizer
from glm4_intel.devices import PROFILES, properties

_SINGLE = {
    "chat, KV cache u8": ("chat", {"KV_CACHE_PRECISION": "u8"}),
    "chat, KV cache u4": ("chat", {"KV_CACHE_PRECISION": "u4"}),
    "chat, groups of 32": ("chat", {"DYNAMIC_QUANTIZATION_GROUP_SIZE": "32"}),
    "bf16": ("accurate", {"INFERENCE_PRECISION_HINT": "bf16"}),
}
_LONG = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--conversations", type=int, default=60)
    parser.add_argument("--count", type=int, default=50, help="long passages")
    args = parser.parse_args()
    print(environment(), "\n")
    texts = _texts(args.model, args.conversations)
    print(f"{sum(map(len, texts)):,} positions: KL divergence to f32 in nats, and agreement on the likeliest token\n")
    settings = {name: properties("CPU", name) for name in PROFILES}
    settings |= {name: properties("CPU", base) | more for name, (base, more) in _SINGLE.items()}
    exact = list(_logits(args.model, settings["accurate"], texts))
    for name, given in settings.items():
        divergence, agreement = _compare(exact, _logits(args.model, given, texts))
        print(f"{name:22} {divergence:.6f} {agreement:8.2%}")
    print(f"\nfacts found in {args.count} passages of about 1,500 tokens\n")
    for name, options in _engines().items():
        glm = load(args.model, engine=options)
        score, _ = measure_skill(glm, "quote_far", lambda rng, lang: quote(rng, lang, _LONG), args.count)
        print(f"{name:22} {score:6.1%}")


def _engines() -> dict[str, EngineOptions]:
    evictions = {f"{kept:,} tokens kept": EngineOptions(kv_eviction=kept) for kept in (1024, 512, 256)}
    return {"the whole cache": EngineOptions(), "sparse attention": EngineOptions(sparse_attention=True), **evictions}


def _texts(model: Path, count: int) -> list[list[int]]:
    """Held-out conversations as ids."""
    prompt, rng = ChatTokenizer.from_directory(model), Random("profiles")
    skills = list(SKILLS.values())
    examples = [draw(skills[index % len(skills)], rng, ("en", "zh")[index % 2], "held-out") for index in range(count)]
    return [prompt.encode(example.messages, add_generation_prompt=False) for example in examples]


def _logits(model: Path, given: dict, texts: list[list[int]]):  # type: ignore[no-untyped-def]
    compiled = openvino.Core().compile_model(model / "openvino_model.xml", "CPU", given)
    request = compiled.create_infer_request()
    for ids in texts:
        half = len(ids) // 2
        first = next_logits(request, ids[:half])
        given = model_inputs(ids)
        rest = {name: given[name][:, half:] for name in ("input_ids", "position_ids")}
        second = request.infer({**given, **rest})["logits"][0]  # reads the first half from the KV cache
        yield np.concatenate([first, second])


def _compare(exact: list[np.ndarray], others) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    divergence = same = count = 0.0
    for right, other in zip(exact, others, strict=True):
        p, q = _log_softmax(right), _log_softmax(other)
        divergence += float((np.exp(p) * (p - q)).sum())
        same += float((right.argmax(-1) == other.argmax(-1)).sum())
        count += len(right)
    return divergence / count, same / count


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


if __name__ == "__main__":
    main()
