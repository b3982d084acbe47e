"""One line of a terminal that is drawn over itself, and leaves no trace when it ends."""

import os
import sys

_BAR = 24
_COLUMNS = 80
"""Where the terminal does not tell."""
_ERASE = "\r\x1b[K"


class StatusLine:
    """The line on standard error that says what is going on; nothing where that is no terminal."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self._shown = False

    def show(self, text: str, share: float | None = None) -> None:
        """Draw it anew: a bar where the share of the whole that is done is known, and a text, cut to fit."""
        if not self.live:
            return
        line = text if share is None else f"{bar(share)} {text}"
        self._write(f"{_ERASE}{line[: _columns() - 1]}")  # a full line would wrap, and stay
        self._shown = True

    def clear(self) -> None:
        """Leave the line empty, for whatever is printed next."""
        if self._shown:
            self._write(_ERASE)
        self._shown = False

    @staticmethod
    def _write(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def _columns() -> int:
    """How wide the terminal of standard error is."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or _COLUMNS
    except OSError:
        return _COLUMNS


def bar(share: float) -> str:
    """A share of the whole as a bar and in percent."""
    return f"{'█' * round(share * _BAR):·<{_BAR}} {share:4.0%}"
