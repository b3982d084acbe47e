"""The terminal's conversation is kept on disk as it goes on, beside those of the page, and earlier ones are found."""

import time
from collections.abc import Callable

from glm4_intel import Glm4Error

from .dialogue import Dialogue
from .store import HERE, Saved, Store

_SHOWN = 20
_SAVED_EVERY = 10.0
"""Seconds of a reply that a crash may take with it."""


class Keeper:
    """Saves a conversation after every step. What goes wrong is said in a line, once; the conversation goes on."""

    def __init__(self, say: Callable[[str], None], store: Store | None = None) -> None:
        self._say, self._store, self._told = say, store or Store(HERE), False
        self._saved = time.monotonic()

    def keep_up(self, dialogue: Dialogue) -> None:
        """Save what there is of a reply that is being written, now and then."""
        if time.monotonic() - self._saved > _SAVED_EVERY:
            self.save(dialogue)

    def save(self, dialogue: Dialogue) -> None:
        self._saved = time.monotonic()
        try:
            saved = self._store.save(dialogue)
        except OSError as error:
            if not self._told:
                self._say(f"The conversation is not saved ({error.strerror or error}); /save FILE keeps it elsewhere.")
            self._told = True
            return
        self._told = False
        if saved is not Saved.THERE:
            self._say(f"The conversation is saved {saved.value}.")

    def newest(self, dialogue: Dialogue) -> Dialogue:
        """The conversation with what another program has added. One that was deleted elsewhere goes on as a new one."""
        found = self._store.newest(dialogue)
        if found is None:
            dialogue.part()
            return dialogue
        if found is not dialogue:
            self._say("This conversation went on elsewhere; your message follows what was said there.")
        return found

    def require_newest(self, dialogue: Dialogue) -> None:
        """Raises Glm4Error where another program has gone on with the conversation, or deleted it."""
        if self._store.newest(dialogue) is not dialogue:
            raise Glm4Error("This conversation went on elsewhere", "/resume shows it.")

    def listed(self) -> list[str]:
        """Earlier conversations, the latest first, each with its number."""
        return [f"{number:3} {title}" for number, (title, _) in enumerate(self._store.titles()[:_SHOWN], 1)]

    def earlier(self, number: int = 1) -> Dialogue:
        """One of them. Raises Glm4Error where there is none of that number."""
        titles = self._store.titles()
        found = self._store.open(titles[number - 1][1]) if 1 <= number <= len(titles) else None
        if found is None:
            raise Glm4Error(f"There is no conversation {number}", "/resume lists them.")
        return found
