"""What commands print for programs to read."""

import json
import sys
from collections.abc import Mapping
from typing import Any


def print_json(data: Mapping[str, Any], indent: int | None = None) -> None:
    """One JSON object on standard output, with escapes where the console could not write every letter."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(data, ensure_ascii=not unicode, indent=indent))
