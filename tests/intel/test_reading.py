"""Documents of strangers, read in a process apart: as others are, and within limits."""

import os
import time
from pathlib import Path

import pytest

from glm4_intel import Glm4Error
from glm4_intel.agent.reading import ReadingLimits, read_apart


def test_a_document_is_read_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "智.txt"
    file.write_bytes("你好\r\nworld \x00".replace("\x00", "").encode("gb18030"))
    document = read_apart(file)
    assert document.text == "你好\r\nworld " and document.name == "智.txt" and document.pages == [document.text]


def test_what_is_wrong_is_told_without_the_folder(tmp_path: Path) -> None:
    file = tmp_path / "broken.pdf"
    file.write_bytes(b"no pdf")
    with pytest.raises(Glm4Error, match="^broken.pdf is no PDF that can be read") as raised:
        read_apart(file)
    assert raised.value.hint
    with pytest.raises(Glm4Error, match="^none.txt can't be read"):
        read_apart(tmp_path / "none.txt")


def test_a_document_that_takes_too_much_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "long.txt"
    file.write_text("word " * 1000, encoding="utf-8")
    with pytest.raises(Glm4Error, match="long.txt has 5,000 characters, more than the 4,999"):
        read_apart(file, ReadingLimits(text=4999))
    began = time.monotonic()
    with pytest.raises(Glm4Error, match="takes longer than 0.05 seconds"):
        read_apart(file, ReadingLimits(seconds=0.05))
    assert time.monotonic() - began < 5


@pytest.mark.skipif(os.name == "nt", reason="no such limit there")
def test_a_document_that_takes_too_much_memory_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "large.txt"
    file.write_bytes(b"word " * 40_000_000)
    with pytest.raises(Glm4Error, match="large.txt .*memory"):
        read_apart(file, ReadingLimits(memory=400 << 20))
