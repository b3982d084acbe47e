"""What commands print, for people and for programs to read."""

import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def print_json(data: Mapping[str, Any], indent: int | None = None) -> None:
    """One JSON object on standard output, with escapes where the console could not write every letter."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(data, ensure_ascii=not unicode, indent=indent))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table whose columns are aligned and which is Markdown; numbers stand at the right."""
    cells = [list(head), *(list(row) for row in rows)]
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
