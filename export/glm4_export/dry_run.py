"""What an export would do, take and write, found out without doing it."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from glm4_intel.machine.memory import available_memory

from .checkpoint.source import Checkpoint
from .estimate import Estimate, require_room
from .making import MakeOptions, Maker, examined, writings

_LINE = 100e6 / 8
"""Bytes a second of a line that people have; downloads are told in its terms."""
_SLOWEST = 2.5
"""How many times the estimated time a busy machine or a slow disk has taken (benchmarks, "Exporting the 9B")."""


def outlook(source: str, out: Path, maker: Maker, options: MakeOptions) -> Iterator[str]:
    """Lines that say what `make` would do. Raises Glm4Error where it would before its work, after the lines."""
    from .checkpoint.tokenizer import write_texts

    place = Path(os.path.abspath(out))
    with TemporaryDirectory() as scratch:
        texts, written = Path(scratch, "fetched"), Path(scratch, "written")
        written.mkdir()
        checkpoint, mergings = examined(source, place, maker, replace(options, ignore_limits=True), texts)
        maker.require_texts(write_texts(checkpoint, written))
    needed = maker.estimate(checkpoint)
    planned = writings(checkpoint, place, maker, mergings)
    yield f"checkpoint  {_described(checkpoint)}"
    for writing in planned:
        free = _size(shutil.disk_usage(writing.folder).free)
        yield f"disk        {_size(writing.size)} for {writing.what}, in {writing.place}; {free} free"
    yield f"memory      {_size(needed.memory)}; {_size(available_memory())} available"
    yield f"time        {_time(checkpoint, needed)}"
    if not options.ignore_limits:
        require_room(needed, planned)


def _described(checkpoint: Checkpoint) -> str:
    kind = f"{checkpoint.layout.architecture}, {checkpoint.config['num_hidden_layers']} layers"
    return f"{checkpoint.source}: {kind}, {_size(checkpoint.weight_bytes)} of weights"


def _time(checkpoint: Checkpoint, needed: Estimate) -> str:
    working = "not known beforehand, for the recipe reads calibration data or searches"
    if needed.seconds is not None:
        working = f"{_span(needed.seconds, needed.seconds * _SLOWEST)} on two cores, less on more"
    if checkpoint.awaited is None:
        return working
    fetching = checkpoint.awaited.missing_bytes / _LINE
    return f"{_span(fetching, fetching)} to fetch it at 100 Mbit/s; then {working}"


def _span(shortest: float, longest: float) -> str:
    """A time between two numbers of seconds, in words."""
    unit, size = ("s", 1) if longest < 120 else ("minutes", 60)
    first, last = max(1, round(shortest / size)), max(1, round(longest / size))
    return f"about {first} {unit}" if first == last else f"about {first} to {last} {unit}"


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"
