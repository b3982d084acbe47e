"""The one exception type that crosses the library's boundary."""


class Glm4Error(Exception):
    """Something the user can put right: one line that says what is wrong and a hint that says what next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
