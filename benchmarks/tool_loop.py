"""The nano model through the tool loop: the right tool of five, its arguments, and the answer from the observation.

    python benchmarks/tool_loop.py DIR

Held-out conversations of its skill `observation`, first rounds, half English and half Chinese. The other four tools are
those of other held-out conversations.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from environment import environment
from glm4_demos.nano.skills import draw
from glm4_demos.nano.tool_skills import observation
from glm4_intel import Runtime, load
from glm4_intel.agent import Called, Finished, Tool, run

TOOLS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--count", type=int, default=200, help="conversations")
    args = parser.parse_args()
    runtime, right, rng = load(args.model), Counter[str](), Random(0)
    for language in ("en", "zh"):
        examples = [draw(observation, rng, language, "held-out") for _ in range(args.count // 2)]
        declared = [tool["function"] for example in examples for tool in example.messages[0]["tools"]]
        for example in examples:
            own = [tool["function"] for tool in example.messages[0]["tools"]]
            tools = [*own, *rng.sample(declared, len(declared))]
            for what in follow(runtime, example.messages, tools):
                right[f"{what}, {language}"] += 1
    print(environment())
    for what, count in sorted(right.items()):
        print(f"{what:20} {count / (args.count // 2):.1%}")


def follow(runtime: Runtime, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> Iterator[str]:
    """What of one conversation was right: "tool", "arguments", "answer"."""
    _, question, call, observed, answer = messages[:5]
    chosen: dict[str, Tool] = {}
    for tool in tools:
        weather = "weather" in tool["name"] and any("weather" in name for name in chosen)
        if len(chosen) < TOOLS and not weather:
            made = Tool(tool["name"], tool["description"], tool["parameters"], lambda **_: observed["content"])
            chosen.setdefault(tool["name"], made)
    ordered = sorted(chosen.values(), key=lambda tool: tool.name)
    events = list(run(runtime, [question], ordered, max_rounds=1, temperature=0))
    called = [event.call for event in events if isinstance(event, Called)]
    if called and called[0].name == call["metadata"]:
        yield "tool"
        if called[0].arguments == json.loads(call["content"]):
            yield "arguments"
    if isinstance(events[-1], Finished) and events[-1].reply.text == answer["content"]:
        yield "answer"


if __name__ == "__main__":
    main()
