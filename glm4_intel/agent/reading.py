"""Documents of strangers, read in a process of its own: one that is hostile or huge holds up nobody.

The process may take so much time, memory and text; it runs at a lower priority than what it is read for.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ..errors import Glm4Error
from .documents import Document

_CODE = "from glm4_intel.agent.reading import main; main()"
_ROOT = Path(__file__).parents[2]
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""NumPy's threads take address space each, on many cores more than the limit."""


@dataclass(frozen=True)
class ReadingLimits:
    """What reading a document may take."""

    seconds: float = 30.0
    memory: int = 1 << 30
    """Bytes of address space; where the system has no such limit (Windows), it is not held."""
    text: int = 4_000_000
    """Characters: a book of 1,500 pages."""


def read_apart(file: Path, limits: ReadingLimits = ReadingLimits()) -> Document:  # noqa: B008  # frozen
    """`Document.open` in a process of its own. Raises Glm4Error as that does, and beyond the limits.

    Messages name the file without its folder, for those who know it by that name alone.
    """
    command = [sys.executable, "-c", _CODE, str(file.resolve()), json.dumps(vars(limits))]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, cwd=_ROOT, timeout=limits.seconds,
                              env=os.environ | _ONE_THREAD)  # fmt: skip
    except subprocess.TimeoutExpired as error:
        told = f"{file.name} takes longer than {limits.seconds:g} seconds to read"
        raise Glm4Error(told, "Give a smaller part of it, or its text.") from error
    kind, rest = done.stdout[:1], done.stdout[1:].decode("utf-8", "replace")
    if kind == b"T":
        return Document(file.name, rest)
    if kind == b"E":
        raise Glm4Error(*json.loads(rest))
    raise Glm4Error(f"{file.name} can't be read within {limits.memory >> 20} MB of memory", "Give its text instead.")


def main() -> None:
    """The process: writes T and the text, or E and what is wrong with its hint as JSON."""
    file, limits = Path(sys.argv[1]), ReadingLimits(**json.loads(sys.argv[2]))
    _limit(limits)
    try:
        answer = "T" + _text(file, limits)
    except Glm4Error as error:
        answer = "E" + json.dumps([str(error).replace(str(file), file.name), error.hint])
    sys.stdout.buffer.write(answer.encode("utf-8", "replace"))


def _text(file: Path, limits: ReadingLimits) -> str:
    try:
        text = Document.open(file).text
    except MemoryError as error:
        told = f"{file.name} needs more than {limits.memory >> 20} MB of memory to read"
        raise Glm4Error(told, "Give a smaller part of it, or its text.") from error
    if len(text) > limits.text:
        told = f"{file.name} has {len(text):,} characters, more than the {limits.text:,} that are read"
        raise Glm4Error(told, "Give a part of it.")
    return text


def _limit(limits: ReadingLimits) -> None:
    """Hold the limits from within, and stand back behind the engine."""
    try:
        import resource
    except ImportError:  # Windows
        return
    os.nice(10)
    seconds = int(limits.seconds) + 1
    for kind, most in ((resource.RLIMIT_AS, limits.memory), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(kind, (most, most))
