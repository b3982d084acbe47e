"""What reusing the KV prefix saves: time to first token of a second turn, with and without the first one in the cache.

python benchmarks/prefix_reuse.py DIR                     # 10 rounds
"""

import argparse
import statistics
from pathlib import Path

from environment import environment
from glm4_intel import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    glm = load(args.model)
    glm.generate([{"role": "user", "content": "Hello"}], temperature=0)
    cold, warm, tokens = [], [], 0
    for index in range(args.rounds):
        first = [
            {"role": "user", "content": f"My number is {1000 + index}. " + "Nobody spoke for a long while. " * 150}
        ]
        second = [*first, {"role": "assistant", "content": "Fine."}, {"role": "user", "content": "What is my number?"}]
        reply = glm.generate(first, temperature=0, max_new_tokens=8)
        cold.append(reply.timing.time_to_first_token)
        again = glm.generate(second, temperature=0, max_new_tokens=8)
        warm.append(again.timing.time_to_first_token)
        tokens = again.usage.prompt_tokens
    print(environment())
    first_turn, second_turn = statistics.median(cold), statistics.median(warm)
    print(f"first turn {first_turn * 1000:.1f} ms, second turn of {tokens} tokens {second_turn * 1000:.1f} ms, "
          f"ratio {second_turn / first_turn:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
