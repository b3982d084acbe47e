"""Generation parameters: what is none is named before anything is computed."""

import pytest

from conftest import ask
from glm4_intel import Glm4Error, Runtime
from glm4_intel.chat.generation import GenerationParams


def test_a_top_p_of_zero_takes_the_likeliest_token(glm: Runtime) -> None:
    question = ask("What is 3 + 4?")
    expected = glm.generate(question, temperature=0, max_new_tokens=16)
    assert "7" in expected.text
    assert glm.generate(question, temperature=0.7, top_p=0.0, max_new_tokens=16).token_ids == expected.token_ids


@pytest.mark.parametrize("stop", [5, [5], "", ["a", ""], {"a": 1}, b"x", True, [None]])
def test_a_stop_that_is_no_text(stop: object) -> None:
    with pytest.raises(Glm4Error, match="stop must be a text or a list of texts"):
        GenerationParams().override(stop=stop)


@pytest.mark.parametrize(("stop", "taken"), [("\n", ("\n",)), (["a", "b"], ("a", "b")), ((), ())])
def test_stops(stop: object, taken: tuple[str, ...]) -> None:
    assert GenerationParams().override(stop=stop).stop == taken


def test_the_earlier_name_of_ignore_eos(glm: Runtime) -> None:
    options = {"temperature": 0, "max_new_tokens": 24}
    earlier = glm.generate(ask("5 + 6"), ignore_stop=True, **options)
    assert earlier.finish_reason == "length" and len(earlier.token_ids) == 24
    assert earlier.token_ids == glm.generate(ask("5 + 6"), ignore_eos=True, **options).token_ids
    with pytest.raises(Glm4Error, match="ignore_eos must be true or false, not 'no'"):
        GenerationParams().override(ignore_stop="no")


@pytest.mark.parametrize("ids", [5, "12", [1.5], [True], [-1], ["5"]])
def test_stop_token_ids_that_are_none(ids: object) -> None:
    with pytest.raises(Glm4Error, match="stop_token_ids must be a list of token ids"):
        GenerationParams().override(stop_token_ids=ids)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ignore_eos": "no"}, "ignore_eos must be true or false, not 'no'"),
        ({"top_p": "0.5"}, "top_p must be a number, not '0.5'"),
        ({"top_k": 1.5}, "top_k must be a whole number, not 1.5"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": [0.5]}, "temperature must be a number"),
        ({"seed": "1"}, "seed must be a whole number"),
    ],
)
def test_parameters_of_another_type(change: dict, said: str) -> None:
    with pytest.raises(Glm4Error, match=said.replace("[", r"\[")):
        GenerationParams().override(**change)


@pytest.mark.parametrize("value", [10**400, "x" * 10**6, ["x"] * 10**4, float("inf"), True, b"x", {}, object()])
@pytest.mark.parametrize("name", ["max_new_tokens", "temperature", "top_p", "seed", "stop_token_ids", "ignore_eos"])
def test_odd_values_are_named_in_one_short_line(glm: Runtime, name: str, value: object) -> None:
    if (name, value) == ("ignore_eos", True):
        return
    if (name, value) == ("stop_token_ids", {}):
        value = {"a": 1}
    with pytest.raises(Glm4Error, match=f"^{name} (must be|is) ") as raised:
        glm.stream(ask("Hi"), **{name: value})
    assert len(str(raised.value)) < 200 and "\n" not in str(raised.value)


@pytest.mark.parametrize("form", [{"type": "regex", "regex": "\ud800"}, {"type": "choice", "choice": ["\ud800"]}])
def test_half_a_surrogate_pair_in_a_form(glm: Runtime, form: dict) -> None:
    with pytest.raises(Glm4Error, match="has half a surrogate pair in it"):
        glm.stream(ask("Hi"), response_format=form)
