"""Whether drawn tokens come from the distribution that temperature and top_p make of the logits."""

from pathlib import Path

import numpy as np
import openvino
import pytest

from glm4_intel import Runtime, load
from glm4_intel.backends.openvino_ir import MODEL, next_logits
from glm4_intel.devices import properties

TEMPERATURE, TOP_P = 0.8, 0.8
TOKENS, REPLIES, BINS = 400, 2, 10
LIMIT = 33.7
"""Of chi-square with nine degrees of freedom: right draws exceed it one time in ten thousand."""


@pytest.fixture(scope="module")
def exact(nano: Path) -> Runtime:
    """In full precision, so that its logits are those of a single pass."""
    return load(nano, device="CPU", profile="accurate")


def places(glm: Runtime, nano: Path, **drawing: float) -> np.ndarray:
    """Where each drawn token lies, 0 to 1, in the distribution that it should come from, likeliest first.

    Of right draws, with a random place within the token's own part, it is uniform. A token outside lies at 1 or beyond.
    """
    compiled = openvino.Core().compile_model(nano / MODEL, "CPU", properties("CPU", "accurate"))
    request, random, found = compiled.create_infer_request(), np.random.default_rng(0), []
    for seed in range(REPLIES):
        prompt = [int(each) for each in random.integers(5, 3000, 24)]
        drawn = list(glm.stream_ids(prompt, max_new_tokens=TOKENS, ignore_eos=True, seed=seed, **drawing))
        logits = next_logits(request, prompt + drawn)[len(prompt) - 1 : -1]
        found += [_place(row, token, random.random()) for row, token in zip(logits, drawn, strict=True)]
    return np.array(found)


def _place(logits: np.ndarray, token: int, within: float) -> float:
    order = np.argsort(-logits, kind="stable")
    likely = np.exp((logits[order] - logits.max()).astype(np.float64) / TEMPERATURE)
    likely /= likely.sum()
    kept = 1 + int((likely.cumsum() < TOP_P).sum())
    rank = int(np.flatnonzero(order == token)[0])
    before = likely[:rank].sum()
    return float((before + within * likely[rank]) / likely[:kept].sum())


def chi_square(places: np.ndarray) -> float:
    """Of places in equal parts of 0 to 1; those beyond count to the last."""
    expected = len(places) / BINS
    counts = np.bincount(np.minimum((places * BINS).astype(int), BINS - 1), minlength=BINS)
    return float(((counts - expected) ** 2).sum() / expected)


def test_drawn_tokens_are_distributed_as_asked(exact: Runtime, nano: Path) -> None:
    found = places(exact, nano, temperature=TEMPERATURE, top_p=TOP_P)
    assert len(found) == TOKENS * REPLIES and (found > 1).mean() < 0.005
    assert chi_square(found) < LIMIT


@pytest.mark.parametrize("wrong", [{"temperature": 1.0, "top_p": 0.8}, {"temperature": 0.8, "top_p": 0.9},
                                   {"temperature": 0.8, "top_p": 0.8, "top_k": 2}])  # fmt: skip
def test_other_settings_are_told_from_it(exact: Runtime, nano: Path, wrong: dict[str, float]) -> None:
    """So that the test above can fail."""
    assert chi_square(places(exact, nano, **wrong)) > LIMIT
