"""What commands print, for people and for programs to read."""

import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What steers a terminal, or turns the direction of text around: all but tabs and line breaks."""
_LONGEST = 1000


def printable(text: str) -> str:
    """The text with a mark in the place of each character that would steer a terminal."""
    return _CONTROLS.sub("\ufffd", text)


def in_a_line(text: str) -> str:
    """A text that somebody else may have written, such as a file's, in one line that a terminal can be given."""
    line = printable(re.sub(r"\s*[\r\n\v\f\x85\u2028\u2029]\s*", " ", text.strip()))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]} … {line[-_LONGEST // 2 :]}"


def print_json(data: Mapping[str, Any], indent: int | None = None) -> None:
    """One JSON object on standard output, with escapes where the console could not write every letter."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    text = json.dumps(data, ensure_ascii=not unicode, indent=indent)
    print(_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text))  # line breaks are not among them


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table whose columns are aligned and which is Markdown; numbers stand at the right."""
    cells = [list(head), *([in_a_line(cell) for cell in row] for row in rows)]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    right = [all(row[at][:1].isdigit() for row in cells[1:]) and len(cells) > 1 for at in range(len(head))]
    rules = ["-" * (width - 1) + ":" if end else "-" * width for width, end in zip(widths, right, strict=True)]
    return [_line(row, widths, right) for row in [cells[0], rules, *cells[1:]]]


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    gaps = [" " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)]
    cells = [gap + cell if end else cell + gap for cell, gap, end in zip(row, gaps, right, strict=True)]
    return f"| {' | '.join(cells)} |"


def _width(text: str) -> int:
    """Columns that a terminal gives a text; Chinese takes two for each character."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
