"""OpenVINO's tokenizer and detokenizer of a model directory, made in a process of its own.

It is ten seconds of Python for GLM-4's vocabulary, which pass while the export's own process converts the model. A
small vocabulary is done before such a process would have started.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glm4_intel.errors import Glm4Error

_SMALL = 1 << 20
"""Bytes of a tokenizer.json; GLM-4's has 8 to 20 million."""


@contextmanager
def converting_tokenizer(directory: Path) -> Iterator[None]:
    """Within it, the tokenizer is made beside tokenizer.json; at its end, it is there, or Glm4Error says why not."""
    if (directory / "tokenizer.json").stat().st_size < _SMALL:
        convert_tokenizer(directory)
        yield
        return
    command = [sys.executable, "-m", __name__, str(directory)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        yield
        assert process.stdout is not None
        said = process.stdout.read()  # its end is the process's; standard input stays open until then
        process.wait()
    finally:
        process.kill()
        process.communicate()
    if process.returncode:
        reason = (said.decode(errors="replace").strip() or "it was killed").splitlines()[-1]
        raise Glm4Error(f"The tokenizer can't be converted: {reason}", "Fetch tokenizer.json again.")


def convert_tokenizer(directory: Path) -> None:
    """Write openvino_tokenizer and openvino_detokenizer, for engines and tools that read text."""
    from optimum.exporters.openvino.convert import export_tokenizer
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    from .whole_words import take_whole_words, whole_words

    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    export_tokenizer(tokenizer, directory, task="text-generation-with-past")
    take_whole_words(directory, whole_words(Tokenizer.from_file(str(directory / "tokenizer.json"))))


def main() -> None:
    threading.Thread(target=_end_with_the_export, daemon=True).start()
    convert_tokenizer(Path(sys.argv[1]))


def _end_with_the_export() -> None:
    """Standard input ends when the export does, however that ends; its folder is no longer ours then."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
