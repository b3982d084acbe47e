"""Whether drawn tokens come from the distribution that temperature and top_p make of the logits."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openvino
import pytest
from openvino import opset13

from glm4_intel import Runtime, load
from glm4_intel.backends.openvino_ir import MODEL, next_logits
from glm4_intel.devices import properties

TEMPERATURE, TOP_P = 0.8, 0.8
TOKENS, REPLIES, BINS = 400, 4, 10
FLATTENED = 4
LIMIT = 33.7
"""Of chi-square with nine degrees of freedom: right draws exceed it one time in ten thousand."""


@pytest.fixture(scope="module")
def flat(nano: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nano with its logits divided: it is so sure of itself that nearly every drawn token is the likeliest."""
    out = tmp_path_factory.mktemp("models") / "flat"
    shutil.copytree(nano, out, ignore=shutil.ignore_patterns("openvino_model.*", "glm4.json"))
    graph = openvino.Core().read_model(nano / MODEL)
    last = graph.output("logits").get_node()
    logits = last.input_value(0)
    divided = opset13.divide(logits, opset13.constant(np.float32(FLATTENED))).output(0)
    last.input(0).replace_source_output(divided)
    logits.get_tensor().set_names(set())
    divided.get_tensor().set_names({"logits"})
    openvino.save_model(graph, out / MODEL, compress_to_fp16=False)
    return out


@pytest.fixture(scope="module")
def exact(flat: Path) -> Iterator[Runtime]:
    """In full precision, so that its logits are those of a single pass."""
    with load(flat, device="CPU", profile="accurate") as glm:
        yield glm


def places(glm: Runtime, flat: Path, **drawing: float) -> np.ndarray:
    """Where each drawn token lies, 0 to 1, in the distribution that it should come from, likeliest first.

    Of right draws, with a random place within the token's own part, it is uniform. A token outside lies at 1 or beyond.
    """
    compiled = openvino.Core().compile_model(flat / MODEL, "CPU", properties("CPU", "accurate"))
    request, random, found = compiled.create_infer_request(), np.random.default_rng(0), []
    for seed in range(REPLIES):
        prompt = [int(each) for each in random.integers(5, 3000, 24)]
        chunks = glm.stream_ids(prompt, max_new_tokens=TOKENS, ignore_eos=True, seed=seed, **drawing)
        drawn = [token for chunk in chunks for token in chunk.token_ids]
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


def test_drawn_tokens_are_distributed_as_asked(exact: Runtime, flat: Path) -> None:
    found = places(exact, flat, temperature=TEMPERATURE, top_p=TOP_P)
    assert len(found) == TOKENS * REPLIES and (found > 1).mean() < 0.005
    assert chi_square(found) < LIMIT


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 0.8), (0.8, 0.9)])
def test_other_settings_are_told_from_it(exact: Runtime, flat: Path, temperature: float, top_p: float) -> None:
    """So that the test above can fail."""
    assert chi_square(places(exact, flat, temperature=temperature, top_p=top_p)) > LIMIT
