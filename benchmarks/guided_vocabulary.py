"""What guiding costs with a real vocabulary: decode time a token of guided and unguided replies, in turn.

    python benchmarks/guided_vocabulary.py DIR

DIR is a model directory with GLM-4's tokenizer of 151,552 tokens; its weights don't matter. A grammar's mask is
computed while nothing else is, so that the difference is what a mask costs with any model, and the ratio depends on
the model's own time. The first token's time holds the compilation of the grammar, which the engine then keeps.
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

from environment import environment
from glm4_intel import Reply, Runtime, load

_PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "kind": {"enum": ["cat", "dog", "horse"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "home": {"type": "object", "properties": {"street": {"type": "string"}, "height": {"type": "number"}}},
    },
    "required": ["name", "age", "kind", "tags", "home"],
}
SCHEMAS: dict[str, dict[str, Any]] = {
    "any object": {"type": "object"},
    "two strings": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "bio": {"type": "string"}},
        "required": ["name", "bio"],
    },
    "nested": _PERSON,
    "list of objects": {"type": "array", "items": _PERSON},
    "numbers": {"type": "array", "items": {"type": "number"}, "minItems": 40},
    "short strings": {"type": "array", "items": {"type": "string", "maxLength": 40}, "minItems": 5},
    "long string": {"type": "string", "minLength": 200, "maxLength": 1000},
    "date": {"type": "array", "items": {"type": "string", "format": "date-time"}, "minItems": 4},
}
QUESTION = [{"role": "user", "content": "Hello"}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=60)
    args = parser.parse_args()
    runtime = load(args.model)
    print(environment())
    names = f"{'schema':18}{'first token':>14}{'guided':>10}{'unguided':>10}{'more':>8}{'ratio':>8}"
    print(f"{names}   ms, medians of {args.rounds}")
    for name, schema in SCHEMAS.items():
        print(row(name, *measure(runtime, schema, args.rounds, args.tokens)), flush=True)


def measure(runtime: Runtime, schema: dict[str, Any], rounds: int, tokens: int) -> tuple[float, float, float]:
    """Seconds to the first guided token, a guided token and an unguided one: of the latter two, medians."""
    shape = {"type": "json_schema", "json_schema": {"schema": schema}}
    first = reply(runtime, 0, tokens, response_format=shape).timing.time_to_first_token
    guided, free = [], []
    for seed in range(1, rounds + 1):
        written = reply(runtime, seed, tokens, response_format=shape)
        guided.append(written.timing.time_per_token)
        count = max(written.usage.completion_tokens, 8)
        free.append(reply(runtime, seed, count, ignore_eos=True).timing.time_per_token)
    return first, statistics.median(guided), statistics.median(free)


def reply(runtime: Runtime, seed: int, tokens: int, **options: Any) -> Reply:
    """One reply, drawn as GLM-4 draws."""
    return runtime.generate(QUESTION, seed=seed, max_new_tokens=tokens, **options)


def row(name: str, first: float, guided: float, free: float) -> str:
    """One line of the table."""
    times = f"{guided * 1e3:10.2f}{free * 1e3:10.2f}{(guided - free) * 1e3:8.2f}"
    return f"{name:18}{first * 1e3:14.0f}{times}{guided / free:8.2f}"


if __name__ == "__main__":
    main()
