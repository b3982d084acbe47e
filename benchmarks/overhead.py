"""What the runtime costs over bare openvino_genai: seconds a token on the same ids, side by side in one run.

python benchmarks/overhead.py DIR                         # 256 tokens, 40 rounds
"""

import argparse
import statistics
from pathlib import Path

import numpy as np
import openvino
import openvino_genai

from environment import environment
from glm4_intel import load
from glm4_intel.tools import ReplyStream


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=40)
    args = parser.parse_args()
    glm = load(args.model)
    bare = openvino_genai.LLMPipeline(str(args.model), "CPU")
    ids = glm.prompt.encode([{"role": "user", "content": "Count from 1 to 59."}])
    ours, theirs = [], []
    for index in range(args.rounds + 2):
        pair = (_ours(glm, ids, args.tokens), _bare(bare, ids, args.tokens))
        if index >= 2:  # the first two warm up
            ours.append(pair[0])
            theirs.append(pair[1])
    print(environment())
    for name, times in (("glm4_intel", ours), ("openvino_genai", theirs)):
        median, best = statistics.median(times) * 1000, min(times) * 1000
        print(f"{name:16} {median:.3f} ms a token (median of {args.rounds}), best {best:.3f}")
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    print(f"ratio of the medians {statistics.median(ours) / statistics.median(theirs):.3f}, "
          f"median ratio of neighbours {statistics.median(ratios):.3f}")  # fmt: skip


def _ours(glm: object, ids: list[int], tokens: int) -> float:
    """Seconds a token after the first, text and all, through the runtime."""
    stream = glm.stream_ids(ids, ReplyStream(), temperature=0, max_new_tokens=tokens, ignore_stop=True)  # type: ignore[attr-defined]
    *_, last = stream
    assert last.usage.completion_tokens == tokens
    return last.timing.time_per_token


def _bare(pipeline: openvino_genai.LLMPipeline, ids: list[int], tokens: int) -> float:
    """The same by the engine's own count, without a streamer."""
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens, config.ignore_eos, config.do_sample = tokens, True, False
    array = np.array([ids], dtype=np.int64)
    inputs = openvino_genai.TokenizedInputs(openvino.Tensor(array), openvino.Tensor(np.ones_like(array)))
    return pipeline.generate(inputs, config).perf_metrics.get_tpot().mean / 1000


if __name__ == "__main__":
    main()
