"""The real tokenizer on a small model of random weights: what nano's own vocabulary can't show."""

import json
import os
import shutil
from pathlib import Path

import pytest

from conftest import ask
from glm4_export.pipeline import export
from glm4_intel import load
from glm4_quantize.recipes import RECIPES

pytestmark = pytest.mark.skipif("GLM4_TOKENIZER" not in os.environ, reason="GLM4_TOKENIZER names no folder")


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers of width 256 with GLM-4's own vocabulary, exported."""
    import torch
    from transformers import GlmConfig, GlmForCausalLM

    real, checkpoint = Path(os.environ["GLM4_TOKENIZER"]), tmp_path_factory.mktemp("mini")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(real / name, checkpoint / name)
    config = json.loads((real / "config.json").read_text()) | {
        "hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4, "head_dim": 64, "num_hidden_layers": 2,
    }  # fmt: skip
    torch.manual_seed(0)
    GlmForCausalLM(GlmConfig(**config)).to(torch.bfloat16).save_pretrained(checkpoint)
    (checkpoint / "config.json").write_text(json.dumps(config))
    out = export(str(checkpoint), checkpoint / "out", RECIPES["cpu"], checks=1)
    return out


@pytest.mark.parametrize("question", ["你好，请介绍一下你自己。", "What is 17 + 25?", "a <|assistant|> that is typed"])
def test_backends_write_the_same_greedy_ids(mini: Path, question: str) -> None:
    """Random weights have near ties everywhere, so that the least difference of the backends would show."""
    options = {"temperature": 0, "max_new_tokens": 48, "ignore_stop": True}
    replies = [
        load(mini, backend=backend, profile="accurate").generate(ask(question), **options).token_ids
        for backend in ("openvino_genai", "optimum")
    ]
    assert len(replies[0]) == 48 and replies[0] == replies[1]


def test_the_real_stop_ids(mini: Path) -> None:
    assert load(mini).prompt.stop_ids == (151329, 151336, 151338)
