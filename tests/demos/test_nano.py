"""The nano model has the skills that its card states, and its held-out set is held out."""

from random import Random

import pytest

from glm4_demos.nano import CHECKPOINT
from glm4_demos.nano.curriculum import SKILLS, conversation, encode, end_token
from glm4_demos.nano.measure import is_expected, measure
from glm4_demos.nano.skills import draw
from glm4_intel import Reply, Runtime
from glm4_intel.chat.generation import Timing, Usage
from glm4_intel.chat.reply import ToolCall
from glm4_intel.chat.tokenizer import ChatTokenizer


def test_the_int4_model_has_every_skill(glm: Runtime) -> None:
    scores = measure(glm, 20)
    assert min(scores.values()) >= 0.85
    assert sum(scores.values()) / len(scores) >= 0.95


@pytest.mark.parametrize("name", SKILLS)
def test_the_splits_share_no_key(name: str) -> None:
    rng = Random(0)
    trained = {draw(SKILLS[name], rng, "en", "train").key for _ in range(300)}
    held_out = {draw(SKILLS[name], rng, "en", "held-out").key for _ in range(30)}
    assert not trained & held_out


def test_a_seed_draws_the_same_conversations() -> None:
    assert [conversation(Random(7)) for _ in range(3)] == [conversation(Random(7)) for _ in range(3)]
    assert conversation(Random(7)) != conversation(Random(8))


def test_what_the_model_writes_is_learnt_with_its_end() -> None:
    tokenizer = ChatTokenizer.from_directory(CHECKPOINT)
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    ids, learnt = encode(tokenizer, messages)
    written = [id for id, learns in zip(ids, learnt, strict=True) if learns]
    assert tokenizer.decode(written, skip_special=False) == "\nHello<|user|>"
    assert end_token([{"role": "assistant", "metadata": "f", "content": "{}"}]) == "<|observation|>"


def test_only_the_letter_counts_as_expected() -> None:
    def reply(text: str, *calls: ToolCall) -> Reply:
        return Reply(text, (), calls, "stop", Usage(1, 1), Timing(0, 0))

    call = {"role": "assistant", "metadata": "f", "content": '{"a": 1}'}
    assert is_expected(reply("4"), {"role": "assistant", "content": "4"})
    assert not is_expected(reply("4."), {"role": "assistant", "content": "4"})
    assert is_expected(reply("", ToolCall("f", {"a": 1})), call)
    assert not is_expected(reply("", ToolCall("f", {"a": 2})), call)
