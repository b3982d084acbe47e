"""What guessing ahead saves: decode time a token with prompt lookup and with a draft model, to that without.

    python benchmarks/guessing.py DIR [--draft DIR]

Greedy replies to held-out questions of the nano model, in turn in one run: texts to repeat, passages to quote from, and
counting, which quotes nothing. Without --draft the model drafts for itself, which can only show that it costs.
"""

import argparse
import statistics
from pathlib import Path
from random import Random

from environment import environment
from glm4_demos.nano.skills import Example, counting, draw, quote, repetition
from glm4_intel import EngineOptions, Runtime, load

_SKILLS = {"repetition": repetition, "quote": lambda rng, lang: quote(rng, lang, 40), "counting": counting}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--draft", type=Path)
    parser.add_argument("--count", type=int, default=40, help="questions a skill")
    args = parser.parse_args()
    contestants = {
        "plain": load(args.model),
        "prompt lookup": load(args.model, engine=EngineOptions(prompt_lookup=True)),
        "draft": load(args.model, engine=EngineOptions(draft_model=args.draft or args.model)),
    }
    print(environment(), "\n")
    for name, skill in _SKILLS.items():
        rng, ratios = Random(f"guessing {name}"), {each: [] for each in contestants}  # type: ignore[var-annotated]
        for index in range(args.count):
            example = draw(skill, rng, ("en", "zh")[index % 2], "held-out")
            seconds = {each: _decode(glm, example) for each, glm in contestants.items()}
            for each, value in seconds.items():
                ratios[each].append(value / seconds["plain"])
        shown = ", ".join(f"{each} {statistics.median(values):.2f}" for each, values in ratios.items())
        print(f"{name:12} time a reply to plain: {shown}")


def _decode(glm: Runtime, example: Example) -> float:
    """Seconds of one reply, its prompt's aside: the prompt is known from the first time."""
    messages = example.messages[:-1]
    glm.generate(messages, temperature=0, max_new_tokens=1)
    reply = glm.generate(messages, temperature=0)
    return reply.timing.time_per_token * reply.usage.completion_tokens


if __name__ == "__main__":
    main()
