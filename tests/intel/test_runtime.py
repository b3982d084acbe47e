"""The real engine on the nano model: streaming, stopping, cancelling, seeds, threads, prefixes, every finish reason."""

import threading
import time
from pathlib import Path

import pytest

from conftest import WEATHER, ask
from glm4_intel import Glm4Error, Reply, Runtime, load

COUNT = ask("Count from 1 to 40.")


def test_an_answer(glm: Runtime) -> None:
    reply = glm.generate(ask("What is 17 + 25?"), temperature=0)
    assert (reply.text, reply.finish_reason) == ("17 + 25 = 42", "stop")
    assert reply.usage.prompt_tokens == len(glm.tokenizer.encode(ask("What is 17 + 25?")))
    assert reply.usage.completion_tokens == len(reply.token_ids)
    assert reply.token_ids[-1] in glm.tokenizer.stop_ids
    assert reply.timing.time_to_first_token > 0 and reply.timing.time_per_token > 0


def test_generate_is_the_join_of_stream(glm: Runtime) -> None:
    chunks = list(glm.stream(COUNT, temperature=0))
    assert len(chunks) > 5
    assert [chunk.finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    reply, whole = Reply.join(chunks), glm.generate(COUNT, temperature=0)
    assert (reply.text, reply.token_ids) == (whole.text, whole.token_ids)
    assert reply.text == ", ".join(map(str, range(1, 41)))


def test_streamed_text_never_splits_a_character(glm: Runtime) -> None:
    chunks = list(glm.stream(ask("重复：🌍🎉🌺"), temperature=0))
    assert "".join(chunk.text for chunk in chunks) == "🌍🎉🌺"
    assert all("\ufffd" not in chunk.text for chunk in chunks)
    assert len(glm.tokenizer.encode_text("🌍")) > 1


def test_stop_texts_end_a_reply_and_are_never_shown(glm: Runtime) -> None:
    chunks = list(glm.stream(COUNT, temperature=0, stop=["9, 10", "unheard"]))
    assert "".join(chunk.text for chunk in chunks) == "1, 2, 3, 4, 5, 6, 7, 8, "
    assert chunks[-1].finish_reason == "stop"
    assert not any("9" in chunk.text for chunk in chunks)


def test_stop_ids_end_a_reply(glm: Runtime) -> None:
    comma = glm.tokenizer.encode_text(",")[0]
    reply = glm.generate(COUNT, temperature=0, stop_token_ids=[comma])
    assert reply.token_ids[-1] == comma and reply.finish_reason == "stop"


def test_length(glm: Runtime) -> None:
    reply = glm.generate(COUNT, temperature=0, max_new_tokens=7)
    assert (reply.finish_reason, reply.usage.completion_tokens) == ("length", 7)
    reply = glm.generate(COUNT, temperature=0, max_new_tokens=100, ignore_eos=True)
    assert (reply.finish_reason, reply.usage.completion_tokens) == ("length", 100)


def test_the_context_limits_a_reply(glm: Runtime) -> None:
    filler = ask("The shop is red. " * 330)
    tokens = len(glm.tokenizer.encode(filler))
    room = glm.context_length - tokens
    assert 0 < room < 1000
    reply = glm.generate(filler, temperature=0, max_new_tokens=2000, ignore_eos=True)
    assert (reply.finish_reason, reply.usage.completion_tokens) == ("length", room)


def test_a_prompt_longer_than_the_context_is_refused_before_the_engine(glm: Runtime) -> None:
    with pytest.raises(Glm4Error, match=r"The prompt has [\d,]+ tokens, and the model's context is 2,048"):
        glm.stream(ask("The shop is red. " * 2000))


def test_tool_calls(glm: Runtime) -> None:
    reply = glm.generate(ask("What is the weather in Paris?"), tools=[WEATHER], temperature=0)
    assert (reply.finish_reason, reply.text) == ("tool_calls", "")
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [("get_weather", {"city": "Paris"})]
    result = {"role": "tool", "content": '{"weather": "sunny", "temperature": 21}'}
    answer = glm.generate([*ask("What is the weather in Paris?"), reply.message(), result], [WEATHER], temperature=0)
    assert answer.text == "It is sunny and 21 °C."


@pytest.mark.parametrize("backend", ["openvino_genai", "optimum"])
def test_cancelling_from_another_thread_stops_within_two_tokens(nano: Path, backend: str) -> None:
    glm, cancel, seen = load(nano, backend=backend), threading.Event(), threading.Event()

    def cancel_when_seen() -> None:
        seen.wait()
        cancel.set()

    canceller = threading.Thread(target=cancel_when_seen)
    canceller.start()
    after, reason = 0, None
    for chunk in glm.stream(COUNT, cancel=cancel, temperature=0, ignore_eos=True, max_new_tokens=1500):
        after += len(chunk.token_ids) if cancel.is_set() else 0
        seen.set()
        reason = chunk.finish_reason
        time.sleep(0.001)
    canceller.join()
    assert reason == "cancelled" and after <= 2


def test_closing_a_stream_frees_the_engine(glm: Runtime) -> None:
    stream = glm.stream(COUNT, temperature=0, ignore_eos=True, max_new_tokens=1500)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    started = time.perf_counter()
    assert glm.generate(ask("5 + 6"), temperature=0).text == "5 + 6 = 11"
    assert time.perf_counter() - started < 1  # the rest of 1,500 tokens would take longer


def test_a_stream_that_waits_for_its_turn_can_be_cancelled(glm: Runtime) -> None:
    first = glm.stream(COUNT, temperature=0)
    next(first)
    cancel = threading.Event()
    threading.Timer(0.1, cancel.set).start()
    assert glm.generate(ask("Hello"), cancel=cancel, ignore_eos=True).finish_reason in ("cancelled", "length")
    first.close()  # type: ignore[attr-defined]


def test_seeds(glm: Runtime) -> None:
    def draw(seed: int) -> str:
        return glm.generate(ask("Write a poem."), seed=seed, temperature=3, max_new_tokens=40, ignore_eos=True).text

    assert draw(1) == draw(1)
    assert len({draw(seed) for seed in range(4)}) == 4


@pytest.mark.parametrize("restriction", [{"top_k": 1}, {"top_p": 1e-6}, {"min_p": 0.999}])
def test_each_restriction_of_sampling_reaches_the_engine(glm: Runtime, restriction: dict) -> None:
    greedy = glm.generate(COUNT, temperature=0, max_new_tokens=30)
    assert glm.generate(COUNT, temperature=2, seed=5, max_new_tokens=30, **restriction).token_ids == greedy.token_ids
    assert glm.generate(COUNT, temperature=20, seed=5, max_new_tokens=30, top_p=1).token_ids != greedy.token_ids


@pytest.mark.parametrize(
    "penalty", [{"repetition_penalty": 50.0}, {"presence_penalty": 2.0}, {"frequency_penalty": 2.0}]
)
def test_each_penalty_reaches_the_engine(glm: Runtime, penalty: dict) -> None:
    """The same seeds draw other tokens, of which fewer are drawn twice."""
    options = {"temperature": 2, "top_p": 1, "max_new_tokens": 120, "ignore_eos": True}

    def different(**more: float) -> int:
        return sum(len(set(glm.generate(COUNT, seed=seed, **options, **more).token_ids)) for seed in range(5))

    assert different(**penalty) > different()


def test_defaults_come_from_generation_config(glm: Runtime) -> None:
    assert (glm.defaults.temperature, glm.defaults.top_p) == (0.8, 0.8)
    assert glm.defaults.override(top_p=0.5, seed=None).top_p == 0.5


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ({"temperature": -1}, "temperature is -1"),
        ({"top_p": 2}, "top_p is 2"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"max_new_tokens": 1.5}, "max_new_tokens must be a whole number"),
        ({"top_k": "many"}, "top_k must be a whole number"),
        ({"stop": [""]}, "stop must be"),
        ({"temprature": 1}, "There is no generation parameter 'temprature'"),
    ],
)
def test_a_wrong_parameter_is_named(glm: Runtime, parameter: dict, said: str) -> None:
    with pytest.raises(Glm4Error, match=said):
        glm.generate(ask("x"), **parameter)


def test_threads_share_a_runtime(glm: Runtime) -> None:
    questions = [f"What is {a} + {a + 3}?" for a in range(12)] + ["Count from 1 to 20."] * 2
    expected = [glm.generate(ask(question), temperature=0).text for question in questions]
    replies: dict[int, str] = {}
    threads = [
        threading.Thread(target=lambda i=i, q=q: replies.update({i: glm.generate(ask(q), temperature=0).text}))
        for i, q in enumerate(questions)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [replies[index] for index in range(len(questions))] == expected


def test_a_reused_prefix_changes_nothing(nano: Path, glm: Runtime) -> None:
    """A second turn on a warm cache writes what a fresh runtime writes."""
    first = ask("My name is Mira. " + "Nobody spoke for a long while. " * 40)
    reply = glm.generate(first, temperature=0)
    second = [*first, reply.message(), *ask("What is my name?")]
    warm = glm.generate(second, temperature=0)
    assert warm.token_ids == load(nano).generate(second, temperature=0).token_ids


@pytest.mark.parametrize("profile", ["chat", "accurate"])
@pytest.mark.parametrize("question", ["Count from 3 to 30.", "你好，你是谁？", "What is 9 x 7?", "Repeat: 🌍 Zürich"])
def test_backends_write_the_same_greedy_ids(nano: Path, question: str, profile: str) -> None:
    replies = [
        load(nano, backend=backend, profile=profile).generate(ask(question), temperature=0).token_ids
        for backend in ("openvino_genai", "optimum")
    ]
    assert replies[0] == replies[1]


def test_optimum_samples_from_a_seed(nano: Path) -> None:
    glm = load(nano, backend="optimum")
    options = {
        "temperature": 3,
        "top_p": 0.99,
        "top_k": 500,
        "min_p": 1e-4,
        "repetition_penalty": 1.1,
        "max_new_tokens": 20,
    }
    replies = [glm.generate(ask("Hello"), seed=seed, **options).token_ids for seed in (1, 1, 2)]
    assert replies[0] == replies[1] != replies[2]
    with pytest.raises(Glm4Error, match="no presence or frequency penalty"):
        glm.generate(ask("Hello"), presence_penalty=1)
