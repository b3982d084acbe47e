"""Ctrl-C at the start of replies: how many later replies hang.

    python benchmarks/interrupts.py DIR                        # 2,000 interrupts within 4 ms, for each profile

Each reply is interrupted by a timer's signal at a random instant; after every tenth a whole reply must come in time.
"""

import argparse
import random
import signal
import threading
import time
from pathlib import Path

from environment import environment
from glm4_intel import Runtime, load

QUESTION = [{"role": "user", "content": "5 + 6"}]
PATIENCE = 5.0
"""Seconds after which a reply counts as hanging."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--interrupts", type=int, default=2000)
    parser.add_argument("--within", type=float, default=4e-3, metavar="SECONDS")
    args = parser.parse_args()
    signal.signal(signal.SIGALRM, _interrupt)
    print(environment())
    for profile in ("chat", "throughput"):
        with load(args.model, profile=profile) as glm:
            interrupted, hung = _measure(glm, args.interrupts, args.within)
        print(f"{profile}: {interrupted} of {args.interrupts} replies interrupted within {args.within * 1e3:g} ms, "
              f"{hung} of {args.interrupts // 10} later replies hung", flush=True)  # fmt: skip


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _measure(glm: Runtime, interrupts: int, within: float) -> tuple[int, int]:
    moments, interrupted, hung = random.Random(0), 0, 0
    for number in range(interrupts):
        try:
            signal.setitimer(signal.ITIMER_REAL, moments.uniform(1e-5, within))
            glm.generate(QUESTION, temperature=0, ignore_eos=True, max_new_tokens=200)
        except KeyboardInterrupt:
            interrupted += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if number % 10 == 9:
            hung += not _answers(glm)
    return interrupted, hung


def _answers(glm: Runtime) -> bool:
    """Whether a whole reply comes in time."""
    cancel, started = threading.Event(), time.perf_counter()
    timer = threading.Timer(PATIENCE, cancel.set)
    timer.start()
    reply = glm.generate(QUESTION, cancel=cancel, temperature=0)
    timer.cancel()
    return reply.text == "5 + 6 = 11" and time.perf_counter() - started < PATIENCE


if __name__ == "__main__":
    main()
