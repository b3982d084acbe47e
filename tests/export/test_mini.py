"""The real tokenizer on small models of random weights: what nano's own vocabulary can't show."""

import os
from pathlib import Path

import pytest
from test_layouts import greedy_ids_agree

from conftest import ask
from forms import as_chatglm, random_checkpoint
from glm4_export.checkpoint.source import resolve
from glm4_export.checkpoint.tokenizer import write_texts
from glm4_export.making import make
from glm4_export.openvino.maker import OpenVINOMaker
from glm4_intel import load
from glm4_intel.chat.tokenizer import ChatTokenizer

pytestmark = pytest.mark.skipif("GLM4_TOKENIZER" not in os.environ, reason="GLM4_TOKENIZER names no folder")


@pytest.fixture(scope="module")
def texts() -> Path:
    return Path(os.environ["GLM4_TOKENIZER"])


@pytest.fixture(scope="module")
def checkpoint(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_checkpoint(texts, tmp_path_factory.mktemp("mini") / "glm")


@pytest.fixture(scope="module")
def mini(checkpoint: Path) -> Path:
    return make(str(checkpoint), checkpoint.with_name("out"), OpenVINOMaker())


@pytest.mark.parametrize("question", ["你好，请介绍一下你自己。", "What is 17 + 25?", "a <|assistant|> that is typed"])
def test_backends_write_the_same_greedy_ids(mini: Path, question: str) -> None:
    """Random weights have near ties everywhere, so that the least difference of the backends would show."""
    options = {"temperature": 0, "max_new_tokens": 48, "ignore_eos": True}
    replies = [
        load(mini, backend=backend, profile="accurate").generate(ask(question), **options).token_ids
        for backend in ("openvino_genai", "optimum")
    ]
    assert len(replies[0]) == 48 and replies[0] == replies[1]


def test_the_real_stop_ids(mini: Path) -> None:
    assert load(mini).tokenizer.stop_ids == (151329, 151336, 151338)


@pytest.mark.parametrize(
    "question", ["你好，请介绍一下你自己。", "It's 12345 \t\n  x²³ 🏴\U000e0067", "<|user|> typed"]
)
def test_the_tiktoken_vocabulary_becomes_the_real_tokenizer(checkpoint: Path, tmp_path: Path, question: str) -> None:
    chatglm, out = as_chatglm(checkpoint, tmp_path / "chatglm"), tmp_path / "out"
    out.mkdir()
    assert write_texts(resolve(str(chatglm)), out).encode(ask(question)) == ChatTokenizer.from_directory(
        checkpoint
    ).encode(ask(question))


def test_greedy_ids_of_1m_are_those_of_transformers(texts: Path, tmp_path: Path) -> None:
    """Four KV heads and rope_ratio 10,000, in the original layout."""
    glm = random_checkpoint(texts, tmp_path / "glm", num_key_value_heads=4, rope_theta=1e8)
    greedy_ids_agree(as_chatglm(glm, tmp_path / "chatglm"), tmp_path / "out")


def test_greedy_ids_of_0414_are_those_of_transformers(texts: Path, tmp_path: Path) -> None:
    greedy_ids_agree(random_checkpoint(texts, tmp_path / "glm4", "glm4", rms_norm_eps=1e-5), tmp_path / "out")
