"""The one exception type that crosses the library's boundary."""

_LONGEST = 1000
"""Characters of a message: it may quote a value that somebody gave, of any length."""


class Glm4Error(Exception):
    """Something the user can put right: one line that says what is wrong and a hint that says what next."""

    def __init__(self, message: str, hint: str = "") -> None:
        whole = len(message) <= _LONGEST
        super().__init__(message if whole else f"{message[: _LONGEST // 2]} … {message[-_LONGEST // 4 :]}")
        self.hint = hint
