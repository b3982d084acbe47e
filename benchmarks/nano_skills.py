"""The nano model's skills on its held-out set, for any backend.

python benchmarks/nano_skills.py                          # the checkpoint in PyTorch, bf16
python benchmarks/nano_skills.py DIR                      # a model directory on its default backend
python benchmarks/nano_skills.py DIR --backend optimum
python benchmarks/nano_skills.py DIR --device NPU --property NPUW_DEVICES=CPU --property NPUW_ONLINE_PIPELINE=NONE
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from transformers import GlmForCausalLM

from environment import environment
from glm4_demos.nano import CHECKPOINT
from glm4_demos.nano.measure import measure
from glm4_intel import GenerationParams, Runtime
from glm4_intel.chat.tokenizer import ChatTokenizer
from glm4_intel.commands.model_arguments import add_model_arguments, load_options, load_shown


class TorchBackend:
    """Greedy decoding in PyTorch, in the checkpoint's own bf16: what every other backend is held against."""

    prompt_limit: int | None = None

    def __init__(self, checkpoint: Path) -> None:
        self._model = GlmForCausalLM.from_pretrained(checkpoint, dtype="auto").eval()

    @torch.inference_mode()
    def stream(self, ids: Sequence[int], params: GenerationParams, cancelled: Callable[[], bool]) -> Iterator[int]:
        feed, past = torch.tensor([ids]), None
        for _ in range(params.max_new_tokens):
            output = self._model(feed, past_key_values=past, use_cache=True)
            past, id = output.past_key_values, int(output.logits[0, -1].argmax())
            yield id
            if id in params.stop_token_ids:
                return
            feed = torch.tensor([[id]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path)
    add_model_arguments(parser)
    parser.add_argument("--count", type=int, default=200, help="held-out conversations a skill")
    args = parser.parse_args()
    if args.model:
        runtime = load_shown(args.model, load_options(args))
    else:
        prompt = ChatTokenizer.from_directory(CHECKPOINT)
        runtime = Runtime(prompt, TorchBackend(CHECKPOINT), GenerationParams(), 2048, "CPU")
    scores = measure(runtime, args.count, lambda name: print(name, end=" … ", flush=True, file=sys.stderr))
    print(f"\n{environment()}\n")
    for name, score in scores.items():
        print(f"{name:12} {score:6.1%}")
    print(f"{'overall':12} {sum(scores.values()) / len(scores):6.1%}")


if __name__ == "__main__":
    main()
