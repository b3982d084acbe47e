"""The `<think>` part of a reasoning model's reply, told apart from the answer while it arrives."""

from typing import Literal

from .messages import ENDS

Thinking = Literal["off", "auto", "inside"]
"""Whether a reply may begin with `<think>` (auto), is inside that part from the start, or has no such part."""
_OPEN, _CLOSE = "<think>", "</think>"


def begun_tag(text: str, tags: tuple[str, ...]) -> int:
    """The length of the text's ending that may be the beginning of one of the tags."""
    start = text.rfind("<", max(0, len(text) - max(map(len, tags)) + 1))
    tail = text[start:] if start >= 0 else ""
    return len(tail) if any(tag.startswith(tail) for tag in tags) else 0


class ThinkingSplit:
    """Takes a reply in pieces and gives its reasoning and the rest, as soon as each is certain."""

    def __init__(self, thinking: Thinking) -> None:
        self._state = {"off": "answer", "auto": "start", "inside": "thought"}[thinking]
        self._unread = ""
        self._breaks: str | None = None  # line breaks that are dropped if the thought ends here; None before its text

    def feed(self, text: str) -> tuple[str, str]:
        """Further reasoning, and what follows it."""
        if self._state == "answer":
            return "", text
        self._unread += text
        if self._state == "start":
            begun = self._unread.lstrip("\n")
            if not begun.startswith(_OPEN):
                return "", "" if _OPEN.startswith(begun) else self._answer()
            self._state, self._unread = "thought", begun[len(_OPEN) :]
        return self._read_thought()

    def close(self) -> tuple[str, str]:
        """What only the end of the reply makes certain."""
        if self._state == "thought":
            thought, self._unread = self._trimmed(self._unread), ""
            return thought, ""
        return "", self._answer()

    def _read_thought(self) -> tuple[str, str]:
        found = [(self._unread.find(tag), tag) for tag in (_CLOSE, *ENDS)]
        ends = [(at, tag) for at, tag in found if at >= 0]
        if ends:
            at, tag = min(ends)
            thought = self._trimmed(self._unread[:at])
            self._unread = self._unread[at + (len(tag) if tag == _CLOSE else 0) :]
            return thought, self._answer()
        kept = begun_tag(self._unread, (_CLOSE, *ENDS))
        thought = self._trimmed(self._unread[: len(self._unread) - kept])
        self._unread = self._unread[len(self._unread) - kept :]
        return thought, ""

    def _trimmed(self, text: str) -> str:
        """The text without line breaks at the thought's beginning and end; those in doubt wait for what follows."""
        if self._breaks is None:
            text = text.lstrip("\n")
        if not text:
            return ""
        text = (self._breaks or "") + text
        shown = text.rstrip("\n")
        self._breaks = text[len(shown) :]
        return shown

    def _answer(self) -> str:
        self._state, text, self._unread = "answer", self._unread, ""
        return text
