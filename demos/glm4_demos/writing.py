"""How a reply appears: as Markdown that is drawn while it is written, or as plain text where nobody looks on."""

import re
import sys
from typing import Any, Protocol

from glm4_intel.commands.output import printable

_FENCE = re.compile(r"^\s*(```|~~~)", re.MULTILINE)


class Writer(Protocol):
    """Where a reply goes, piece by piece."""

    def thought(self, text: str) -> None:
        """A piece of what the model thinks before it answers."""
        ...

    def write(self, text: str) -> None:
        """A piece of the answer."""
        ...

    def finish(self) -> None:
        """The reply has ended."""
        ...


def writer() -> Writer:
    """Markdown in a terminal, plain text elsewhere."""
    return MarkdownWriter() if sys.stdout.isatty() else PlainWriter()


class PlainWriter:
    """Text as it comes; thoughts go to standard error."""

    def __init__(self) -> None:
        self._written = False

    def thought(self, text: str) -> None:
        print(printable(text), end="", file=sys.stderr, flush=True)

    def write(self, text: str) -> None:
        self._written = self._written or bool(text)
        print(text, end="", flush=True)

    def finish(self) -> None:
        if self._written:
            print(flush=True)
        self._written = False


class MarkdownWriter:
    """Markdown by rich: what can't change any more is printed for good, and the last block is drawn over itself.

    Only that block is drawn again and again, so that a reply longer than the screen scrolls as text does.
    """

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False)
        self._live: Any = None
        self._text = ""

    def thought(self, text: str) -> None:
        if text:
            self._console.print(printable(text), end="", style="dim italic", markup=False)

    def write(self, text: str) -> None:
        if not text:
            return
        settled, self._text = settled_part(self._text + text)
        if settled:
            self._print(settled)
        self._drawn()

    def finish(self) -> None:
        text, self._text = self._text, ""
        if text.strip():
            self._print(text)
        self._stop()

    def _print(self, text: str) -> None:
        """For good, in the place of what was drawn."""
        self._stop()
        self._console.print(self._markdown(text))

    def _drawn(self) -> None:
        from rich.live import Live

        if self._live is None:
            self._live = Live(console=self._console, refresh_per_second=12, transient=True)
            self._live.start()
        self._live.update(self._markdown(self._text))

    def _stop(self) -> None:
        if self._live:
            self._live.stop()
        self._live = None

    def _markdown(self, text: str) -> Any:
        from rich.markdown import Markdown

        return Markdown(printable(text))


def settled_part(text: str) -> tuple[str, str]:
    """The text up to its last empty line outside of code, which no further text changes, and the rest."""
    for match in reversed(list(re.finditer(r"\n\s*\n", text))):
        if len(_FENCE.findall(text[: match.start()])) % 2 == 0:
            return text[: match.end()], text[match.end() :]
    return "", text
