"""Calibration data, and what is no such data."""

import json
from pathlib import Path

import pytest

from glm4_intel import Glm4Error
from glm4_intel.chat.tokenizer import ChatTokenizer
from glm4_quantize.calibration import DEFAULT, LONGEST, MOST, samples


@pytest.fixture(scope="module")
def tokenizer(nano: Path) -> ChatTokenizer:
    return ChatTokenizer.from_directory(nano)


def test_the_built_in_samples_are_english_and_chinese_conversations(tokenizer: ChatTokenizer) -> None:
    found = samples(tokenizer)
    assert len(found) >= len(DEFAULT) and all(0 < len(ids) <= LONGEST for ids in found)
    chinese = [asked for asked, _ in DEFAULT if any("\u4e00" <= letter <= "\u9fff" for letter in asked)]
    assert len(chinese) * 2 == len(DEFAULT)
    text = tokenizer.decode(found[0], skip_special=False)
    assert text.startswith("[gMASK]<sop><|user|>\nWhy does bread rise?<|assistant|>\nYeast")


def test_text_is_cut_to_samples(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text("one two three " * 40_000)
    found = samples(tokenizer, file)
    assert len(found) == MOST and {len(ids) for ids in found} == {LONGEST}


def test_json_lines_of_messages(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    messages = [{"role": "user", "content": "你好"}]
    file.write_text(f"{json.dumps(messages)}\n\n{json.dumps({'messages': messages})}\n")
    found = samples(tokenizer, file)
    assert len(found) == 2 and found[0] == found[1] == tokenizer.encode(messages, add_generation_prompt=False)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("[{", "line 1 is no JSON"),
        ('[{"role": "user", "content": "x"}]\n{"a": 1}', "line 2 has no messages"),
        ('[{"role": "nobody", "content": "x"}]', "nobody"),
        (b"\xff\xfe\x00", "can't be read as calibration data"),
    ],
)
def test_what_is_no_calibration_data(tokenizer: ChatTokenizer, tmp_path: Path, content: str | bytes, said: str) -> None:
    file = tmp_path / "data.jsonl"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(Glm4Error, match=said):
        samples(tokenizer, file)


def test_a_file_that_is_not_there(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    with pytest.raises(Glm4Error, match="can't be read as calibration data"):
        samples(tokenizer, tmp_path / "nowhere.txt")
