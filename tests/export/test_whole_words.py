"""The exported OpenVINO tokenizer gives the ids of the model's own."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import openvino
import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from glm4_export.openvino.convert_tokenizer import convert_tokenizer
from glm4_export.openvino.whole_words import whole_words

VOCABULARY = {letter: id for id, letter in enumerate("abcĠ")} | {"bc": 4, "ab": 5, "abc": 6, "Ġa": 7, "Ġab": 8}
MERGES = [("b", "c"), ("a", "b"), ("ab", "c"), ("Ġ", "a"), ("Ġa", "b")]  # "abc" becomes a + bc, " ab" becomes Ġ + ab
TEXTS = ["abc", "abcabc", " abc", "abc abc", " ab", " ab ab c", "c", "", "<|end|>abc<|end|> ab", " ", "cab"]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A tokenizer that looks words up before it merges, converted."""
    tokenizer = Tokenizer(models.BPE(VOCABULARY, MERGES, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r" ?[abc]+| +"), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|end|>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>", "pad_token": "<|end|>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    convert_tokenizer(tmp_path)
    return tmp_path


def exported_ids(directory: Path, texts: list[str]) -> list[list[int]]:
    import openvino_tokenizers  # noqa: F401  # adds the tokenizer's operations to OpenVINO

    out = openvino.Core().compile_model(directory / "openvino_tokenizer.xml", "CPU")(texts)
    return [
        ids[mask == 1].tolist() for ids, mask in zip(out["input_ids"], np.array(out["attention_mask"]), strict=True)
    ]


def own_ids(directory: Path, texts: list[str]) -> list[list[int]]:
    own = Tokenizer.from_file(str(directory / "tokenizer.json"))
    return [encoding.ids for encoding in own.encode_batch(texts, add_special_tokens=False)]


def test_words_that_no_merges_lead_to_are_looked_up(small: Path) -> None:
    assert set(whole_words(Tokenizer.from_file(str(small / "tokenizer.json")))) == {b"abc", b" ab"}
    assert exported_ids(small, TEXTS) == own_ids(small, TEXTS)


def test_one_text_alone_an_empty_one_and_a_long_one(small: Path) -> None:
    for texts in ([""], ["abc"], ["", "abc", ""], [" ab" * 5000]):
        assert exported_ids(small, texts) == own_ids(small, texts)


def test_the_engines_own_tokenizer_reads_it(small: Path) -> None:
    import openvino_genai

    tokenizer = openvino_genai.Tokenizer(small)
    for text in ("abc abc", " ab", "<|end|>abc"):
        assert tokenizer.encode(text, add_special_tokens=False).input_ids.data[0].tolist() == own_ids(small, [text])[0]


@pytest.mark.skipif("GLM4_TOKENIZER" not in os.environ, reason="GLM4_TOKENIZER names no folder")
def test_every_token_of_the_real_vocabulary(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(Path(os.environ["GLM4_TOKENIZER"]) / name, tmp_path / name)
    convert_tokenizer(tmp_path)
    own = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    texts = own.decode_batch([[id] for id in range(own.get_vocab_size())], skip_special_tokens=False)
    texts = [text for text in texts if text and "\ufffd" not in text and "\0" not in text]
    assert len(texts) > 149_000
    assert exported_ids(tmp_path, texts) == own_ids(tmp_path, texts)
