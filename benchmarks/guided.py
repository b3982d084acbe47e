"""What a grammar costs: decode time a token of guided replies, as a ratio to the same replies unguided, in turn.

    python benchmarks/guided.py DIR

The nano model answers with JSON of its own accord where it is asked for it (its skill `json`), so that both write about
the same; the grammar is that of an object of strings and numbers.
"""

import argparse
import statistics
import string
from pathlib import Path

from environment import environment
from glm4_intel import Runtime, load

PROPERTIES = {name: {"type": "integer", "minimum": 0, "maximum": 999} for name in string.ascii_lowercase}
SCHEMA = {"type": "object", "properties": PROPERTIES, "required": list(PROPERTIES)}
FORMAT = {"type": "json_schema", "json_schema": {"schema": SCHEMA}}
FREE = {"temperature": 1.0, "ignore_eos": True}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=30)
    args = parser.parse_args()
    runtime = load(args.model)
    ratios, guided_times, free_times = [], [], []
    for seed in range(args.rounds + 2):
        guided, tokens = reply_time(
            runtime, seed, response_format={"type": "json_schema", "json_schema": {"schema": SCHEMA}}
        )
        free, _ = reply_time(runtime, seed, max_new_tokens=tokens, **FREE)
        if seed >= 2:  # the first ones compile the grammar
            ratios.append(guided / free)
            guided_times.append(guided)
            free_times.append(free)
    print(environment())
    print(
        f"{args.rounds} rounds of about {tokens} tokens: {statistics.median(ratios):.3f} of the time a token unguided,"
    )
    print(f"{statistics.median(guided_times) * 1e3:.3f} to {statistics.median(free_times) * 1e3:.3f} ms, medians")


def reply_time(runtime: Runtime, seed: int, **options: object) -> tuple[float, int]:
    """Seconds a token after the first, and the tokens."""
    reply = runtime.generate([{"role": "user", "content": "Hello"}], seed=seed, **options)  # type: ignore[arg-type]
    return reply.timing.time_per_token, reply.usage.completion_tokens


if __name__ == "__main__":
    main()
