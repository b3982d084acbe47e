"""What a render of a chat template may do, counted while it does it."""

import time
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any

from ..errors import Glm4Error

_MOST, _SECONDS = 1 << 26, 5.0
"""Steps and characters of a render together, and its seconds; a prompt of a million tokens takes a quarter of them."""
_MOST_BITS = 4096
_HINT = "Fetch the checkpoint's template again, or give another: --chat-template FILE."


class Exhausted(Glm4Error):
    """A template that was stopped, rather than one that refuses the messages."""


class Work:
    """Counts what one render does. Its methods raise Exhausted where that is more than any prompt takes."""

    def __init__(self) -> None:
        self._left = _MOST
        self._deadline = time.monotonic() + _SECONDS
        self._weights: dict[int, tuple[int, Any]] = {}  # by id, with the object itself, which keeps its id taken

    def spend(self, amount: int) -> None:
        """Steps that are taken, or characters that are written."""
        self._left -= amount
        if self._left < 0:
            raise Exhausted("The chat template writes or computes without end, and was stopped", _HINT)
        if time.monotonic() > self._deadline:
            raise Exhausted(f"The chat template does not end: it was stopped after {_SECONDS:g} seconds", _HINT)

    def each(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items of a loop."""
        for item in items:
            self.spend(1)
            yield item

    def made(self, value: Any) -> Any:
        """A value that an operation made, itself."""
        if isinstance(value, int) and value.bit_length() > _MOST_BITS:
            raise Exhausted("The chat template computes with endless numbers, and was stopped", _HINT)
        self.spend(1 + (len(value) if isinstance(value, (str, list, tuple, dict)) else 0))
        self.weigh(value)
        return value

    def written(self, value: Any) -> Any:
        """A value on its way into text, itself."""
        self.spend(self.weigh(value))
        return value

    def weigh(self, value: Any) -> int:
        """The characters, about, that a value has as text. Lists that hold one another many times grow fast."""
        if isinstance(value, (str, bytes)):
            return 1 + len(value)
        if not isinstance(value, (list, tuple, Mapping, KeysView, ValuesView, ItemsView)):
            return 1
        if (known := self._weights.get(id(value))) is None:
            parts = [*value.keys(), *value.values()] if isinstance(value, Mapping) else list(value)
            known = self._weights[id(value)] = 1 + sum(map(self.weigh, parts)), value
            if known[0] > _MOST:
                raise Exhausted("The chat template builds lists without end, and was stopped", _HINT)
        return known[0]
