"""Our profiles beside bare openvino_genai with its defaults: time to the first token and time a token, in one run.

    python benchmarks/defaults.py DIR                                     # chat and long-prompt
    python benchmarks/defaults.py DIR --busy 16 chat "chat ENABLE_CPU_PINNING=NO"

A contestant is a profile, with properties behind it; "small-pages" among them leaves its weights out of huge pages.
`--busy N` is a second process that keeps N threads computing meanwhile.
"""

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import openvino
import openvino_genai

from environment import environment
from glm4_intel.commands.measuring import Contestant, Loaded, read_bandwidth
from glm4_intel.devices import parse_properties
from glm4_intel.loading import LoadOptions

_BARE = "openvino_genai"
_SMALL_PAGES = "small-pages"
_BUSY = """
import hashlib, sys, threading
block = bytes(1 << 20)
def compute():
    while True:
        hashlib.sha256(block)  # lets go of Python's lock
for _ in range(int(sys.argv[1])):
    threading.Thread(target=compute).start()
"""


class Bare:
    """openvino_genai's own pipeline, as its samples make it."""

    def __init__(self, path: Path) -> None:
        self._pipeline = openvino_genai.LLMPipeline(str(path), "CPU")
        self.reply(8, 2)

    def reply(self, prompt_tokens: int, new_tokens: int) -> tuple[float, float]:
        """As `Loaded.reply`: seconds to the first token and for each further one."""
        ids = np.random.default_rng().integers(0, 1000, (1, prompt_tokens))
        config = openvino_genai.GenerationConfig(
            max_new_tokens=new_tokens, min_new_tokens=new_tokens, ignore_eos=True, do_sample=False
        )
        inputs = openvino_genai.TokenizedInputs(openvino.Tensor(ids), openvino.Tensor(np.ones_like(ids)))
        figures = self._pipeline.generate(inputs, config).perf_metrics
        return figures.get_ttft().mean / 1e3, figures.get_tpot().mean / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("contestants", nargs="*", default=["chat", "long-prompt"])
    parser.add_argument("--prompt-lengths", default="32,512,2048")
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--busy", type=int, default=0, metavar="N")
    args = parser.parse_args()
    contestants: dict[str, Bare | Loaded] = {_BARE: Bare(args.model)}
    contestants |= {text: _ours(args.model, text) for text in args.contestants}
    bandwidth = read_bandwidth() / 1e9
    print(f"{environment()}, reads {bandwidth:.1f} GB/s; {args.busy} busy threads beside; medians of {args.runs}")
    busy = subprocess.Popen([sys.executable, "-c", _BUSY, str(args.busy)]) if args.busy else None
    try:
        for length in map(int, args.prompt_lengths.split(",")):
            _compare(contestants, length, args.new_tokens, args.runs)
    finally:
        if busy:
            busy.kill()


def _ours(path: Path, text: str) -> Loaded:
    profile, *rest = text.split()
    properties = parse_properties(part for part in rest if part != _SMALL_PAGES)
    options = LoadOptions(device="CPU", profile=profile, properties=properties, huge_pages=_SMALL_PAGES not in rest)
    return Loaded(Contestant(text, path, options))


def _compare(contestants: dict[str, Bare | Loaded], length: int, new_tokens: int, runs: int) -> None:
    """All contestants in turn, so that what slows the machine slows them alike; the first round warms up."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for index in range(runs + 1):
        for name, contestant in contestants.items():
            reply = contestant.reply(length, new_tokens)
            print(f"{length} {name}: {reply[0]:.3f} s, {reply[1]:.4f} s", file=sys.stderr, flush=True)
            if index:
                times[name].append(reply)
    print(f"\nprompt of {length} tokens: TTFT, time a token, and both to those of {_BARE}, run by run")
    for name, each in times.items():
        first, token = (statistics.median(values) * 1e3 for values in zip(*each, strict=True))
        pairs = list(zip(each, times[_BARE], strict=True))
        ratios = [statistics.median(ours[part] / bare[part] for ours, bare in pairs) for part in (0, 1)]
        print(f"{name:34} {first:9.1f} ms {token:8.2f} ms {ratios[0]:6.2f} {ratios[1]:6.2f}", flush=True)


if __name__ == "__main__":
    main()
