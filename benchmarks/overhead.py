"""What the runtime costs over bare openvino_genai: decode time a token on the same ids, side by side in one run.

    python benchmarks/overhead.py DIR                         # 256 tokens, 60 rounds

"streaming" is the bare pipeline with a streamer that does nothing, which is what any program that shows text needs;
"silent" is the bare pipeline without one.
"""

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai

from environment import environment
from glm4_intel import Runtime, load


class _Idle(openvino_genai.StreamerBase):
    def write(self, token: int | list[int]) -> Any:
        return openvino_genai.StreamingStatus.RUNNING

    def end(self) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=60)
    args = parser.parse_args()
    glm, bare = load(args.model), openvino_genai.LLMPipeline(str(args.model), "CPU")
    ids = glm.tokenizer.encode([{"role": "user", "content": "Count from 1 to 59."}])
    contestants: dict[str, Callable[[], float]] = {
        "glm4_intel": lambda: _ours(glm, ids, args.tokens),
        "openvino_genai, streaming": lambda: _bare(bare, ids, args.tokens, _Idle()),
        "openvino_genai, silent": lambda: _bare(bare, ids, args.tokens, None),
    }
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for index in range(args.rounds + 3):
        for name, decode in contestants.items():
            seconds = decode()
            if index >= 3:  # the first rounds warm up
                times[name].append(seconds)
    print(environment())
    for name, each in times.items():
        ratio = statistics.median(a / b for a, b in zip(times["glm4_intel"], each, strict=True))
        median, best = statistics.median(each) * 1000, min(each) * 1000
        print(
            f"{name:26} median {median:.3f} ms a token, best {best:.3f}; glm4_intel to it, round by round: {ratio:.3f}"
        )


def _ours(glm: Runtime, ids: list[int], tokens: int) -> float:
    """Seconds a token after the first, text and all, through the runtime."""
    *_, last = glm.stream_ids(ids, temperature=0, max_new_tokens=tokens, ignore_eos=True)
    assert last.usage and last.timing and last.usage.completion_tokens == tokens
    return last.timing.time_per_token


def _bare(pipeline: openvino_genai.LLMPipeline, ids: list[int], tokens: int, streamer: _Idle | None) -> float:
    """The same by the engine's own count."""
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens, config.ignore_eos, config.do_sample = tokens, True, False
    array = np.array([ids], dtype=np.int64)
    inputs = openvino_genai.TokenizedInputs(openvino.Tensor(array), openvino.Tensor(np.ones_like(array)))
    result = pipeline.generate(inputs, config, streamer) if streamer else pipeline.generate(inputs, config)
    return result.perf_metrics.get_tpot().mean / 1000


if __name__ == "__main__":
    main()
