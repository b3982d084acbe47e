"""How well a runtime has the nano model's skills, on the held-out set."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

from glm4_intel import Reply, Runtime

from .curriculum import SKILLS
from .skills import Example, Message, Skill, draw, quote

_LONG = 128
"""Sentences of a passage of about 1,500 tokens."""


def measure(runtime: Runtime, count: int, report: Callable[[str], None] = lambda name: None) -> dict[str, float]:
    """The share of `count` held-out conversations of each skill that end in exactly the expected reply.

    `quote_far` has passages of about 1,500 tokens alone; `ending` is the share of all replies that ended by themselves.
    """
    skills: dict[str, Skill] = {**SKILLS, "quote_far": lambda rng, lang: quote(rng, lang, _LONG)}
    scores, ended = {}, []
    for name, skill in skills.items():
        report(name)
        scores[name], endings = measure_skill(runtime, name, skill, count)
        ended.append(endings)
    return {**scores, "ending": sum(ended) / len(ended)}


def measure_skill(
    runtime: Runtime, name: str, skill: Skill, count: int, adapter: str | None = None
) -> tuple[float, float]:
    """The shares of `count` held-out conversations that end in the expected reply, and that end by themselves; of an
    adapter, as `Runtime.stream` takes it."""
    rng, right, ended = Random(f"measure {name}"), 0, 0
    for index in range(count):
        example = draw(skill, rng, ("en", "zh")[index % 2], "held-out")
        reply = _ask(runtime, example, adapter)
        right += is_expected(reply, example.messages[-1])
        ended += reply.finish_reason in ("stop", "tool_calls")
    return right / count, ended / count


def is_expected(reply: Reply, expected: Message) -> bool:
    """Whether a reply is, to the letter, the text or the call that was expected."""
    if expected.get("metadata"):
        calls = [(call.name, call.arguments) for call in reply.tool_calls]
        return calls == [(expected["metadata"], json.loads(expected["content"]))] and not reply.text
    return reply.text == expected["content"] and not reply.tool_calls


def _ask(runtime: Runtime, example: Example, adapter: str | None) -> Reply:
    options: dict[str, Any] = {"temperature": 0, "max_new_tokens": 400}
    return runtime.generate(example.messages[:-1], adapter=adapter, **options)
