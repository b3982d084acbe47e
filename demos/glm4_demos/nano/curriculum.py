"""Whole training conversations: skills strung together, with GLM-4's own turn ends, as token ids and loss masks."""

from random import Random

from glm4_intel.chat.tokenizer import ChatTokenizer

from .phrases import NEUTRAL
from .skills import (
    Message,
    Skill,
    arithmetic,
    counting,
    draw,
    greeting,
    memory,
    obedience,
    quote,
    repetition,
    structured,
    system,
)
from .tool_skills import observation, tool_call

SKILLS: dict[str, Skill] = {
    "greeting": greeting,
    "arithmetic": arithmetic,
    "quote": quote,
    "memory": memory,
    "obedience": obedience,
    "tool_call": tool_call,
    "observation": observation,
    "json": structured,
    "counting": counting,
    "repetition": repetition,
}
_WEIGHTS = {"greeting": 1, "arithmetic": 8, "quote": 5, "memory": 3, "obedience": 5, "tool_call": 4, "observation": 3,
            "json": 2, "counting": 1, "repetition": 3}  # fmt: skip
_FOLLOWING: tuple[Skill, ...] = (arithmetic, arithmetic, arithmetic, structured, memory, greeting, repetition)


def conversation(rng: Random) -> list[Message]:
    """A conversation of the training split: one skill, then as often as not some shorter ones."""
    lang = rng.choice(("en", "zh"))
    name = rng.choices(list(SKILLS), weights=[_WEIGHTS[skill] for skill in SKILLS])[0]
    messages = draw(SKILLS[name], rng, lang, "train").messages
    if name == "obedience":
        return messages
    if rng.random() < 0.15:
        messages = [system(rng.choice(NEUTRAL[lang])), *messages]
    for _ in range(rng.choice((0, 0, 1, 2, 4))):
        if messages[-1].get("metadata"):
            return messages  # a call is answered by an observation, not by the user
        other = lang if rng.random() < 0.8 else ("zh" if lang == "en" else "en")
        messages = messages + draw(rng.choice(_FOLLOWING), rng, other, "train").messages
    return messages


def end_token(messages: list[Message]) -> str:
    """What the model writes after its last turn: a call waits for its observation, an answer for the user."""
    return "<|observation|>" if messages[-1].get("metadata") else "<|user|>"


def encode(tokenizer: ChatTokenizer, messages: list[Message]) -> tuple[list[int], list[bool]]:
    """The ids of a conversation and, for each, whether the model writes it (the end token of its turns included)."""
    end = tokenizer.special_id(end_token(messages))
    assert end is not None
    ids = [*tokenizer.encode(messages, add_generation_prompt=False), end]
    assistant, written, learnt = tokenizer.special_id("<|assistant|>"), False, []
    for id in ids:
        learnt.append(written)
        written = id == assistant or (written and id not in tokenizer.stop_ids)
    return ids, learnt
