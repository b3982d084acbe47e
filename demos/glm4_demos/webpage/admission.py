"""Which replies a page may write: so many at once, one to each conversation, and none for a visitor who has gone."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Key = tuple[str, str]
"""A page, by its session, and a conversation in it."""


class Refused(Exception):
    """There is no place for a reply now. `reason` names its sentence in `words`: "still", "busy" or "yours"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(eq=False)
class Place:
    """A visitor's reply that is awaited. Setting `cancel` ends it."""

    visitor: str = ""
    cancel: threading.Event = field(default_factory=threading.Event)
    begun: bool = False
    since: float = field(default_factory=time.monotonic)


class Admission:
    """Places for `most` replies, `each` of them one visitor's: taken when a message is sent, free when its reply ends.

    A reply begins in a second event of the browser's, which may never come: its tab was closed, or another conversation
    was chosen. Such a place is free again after `patience` seconds.
    """

    def __init__(self, most: int, each: int | None = None, patience: float = 5.0) -> None:
        self._most, self._each, self._patience = most, most if each is None else each, patience
        self._lock = threading.Lock()
        self._places: dict[Key, Place] = {}

    def __len__(self) -> int:
        """How many replies are awaited or being written."""
        with self._lock:
            self._expire()
            return len(self._places)

    def admit(self, page: str, conversation: str, alone: bool = False, visitor: str = "") -> None:
        """Take a place. Raises Refused where the conversation's reply is being written, and where all are taken, or all
        that one visitor may have.

        `alone` refuses, too, while another page awaits a reply to the same conversation.
        """
        key = (page, conversation)
        with self._lock:
            self._expire()
            if alone and any(other != page and same == conversation for other, same in self._places):
                raise Refused("still")
            self._require_room(key, visitor)
            self._places[key] = Place(visitor)

    @contextmanager
    def writing(self, page: str, conversation: str, visitor: str = "") -> Iterator[Place]:
        """The place in which a reply is written, free afterwards whatever happens.

        One that has expired meanwhile is taken anew. Raises Refused as `admit` does.
        """
        key = (page, conversation)
        place = self._begin(key, visitor)
        try:
            yield place
        finally:
            place.cancel.set()
            self._free(key, place)

    def stop(self, page: str) -> None:
        """End the page's replies."""
        with self._lock:
            for key, place in self._places.items():
                if key[0] == page:
                    place.cancel.set()

    def leave(self, page: str) -> None:
        """End the page's replies, and free their places: nobody waits for them."""
        self.stop(page)
        with self._lock:
            self._places = {key: place for key, place in self._places.items() if key[0] != page}

    def _begin(self, key: Key, visitor: str) -> Place:
        with self._lock:
            self._expire()
            if key not in self._places or self._places[key].begun:
                self._require_room(key, visitor)
            place = self._places.setdefault(key, Place(visitor))
            place.begun = True
            return place

    def _free(self, key: Key, place: Place) -> None:
        with self._lock:
            if self._places.get(key) is place:
                del self._places[key]

    def _expire(self) -> None:
        latest = time.monotonic() - self._patience
        gone = [key for key, place in self._places.items() if not place.begun and place.since < latest]
        for key in gone:
            del self._places[key]

    def _require_room(self, key: Key, visitor: str) -> None:
        place = self._places.get(key)
        if place and place.begun:
            raise Refused("still")
        if place is None and len(self._places) >= self._most:
            raise Refused("busy")
        if place is None and sum(each.visitor == visitor for each in self._places.values()) >= self._each:
            raise Refused("yours")
