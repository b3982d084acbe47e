"""Token ids to text while they arrive: no character is split and no stop text is shown in part."""

import codecs
import re
from collections.abc import Callable, Iterable, Sequence


class TextStream:
    """Decodes ids as they come, holding back what is not a whole character yet."""

    def __init__(self, token_bytes: Callable[[int], bytes]) -> None:
        self._token_bytes = token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, ids: Iterable[int]) -> str:
        return self._decoder.decode(b"".join(map(self._token_bytes, ids)))

    def close(self) -> str:
        """What is left; a character cut short becomes U+FFFD."""
        return self._decoder.decode(b"", final=True)


class StopTexts:
    """Cuts a text off before the first of the stop texts, holding back what may be the beginning of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._pattern = re.compile("|".join(re.escape(stop) for stop in sorted(stops, key=len, reverse=True)))
        self._prefixes = {stop[:length] for stop in stops for length in range(1, len(stop))}
        self._longest = max(map(len, stops), default=0)
        self._kept = ""
        self.found = False

    def feed(self, text: str) -> str:
        """The text that is certain not to belong to a stop text; nothing more once one was found."""
        if not self._longest or self.found:
            return "" if self.found else text
        self._kept += text
        if match := self._pattern.search(self._kept):
            self.found = True
            return self._kept[: match.start()]
        lengths = range(min(self._longest - 1, len(self._kept)), 0, -1)
        keep = next((length for length in lengths if self._kept[-length:] in self._prefixes), 0)
        shown, self._kept = self._kept[: len(self._kept) - keep], self._kept[len(self._kept) - keep :]
        return shown

    def close(self) -> str:
        return "" if self.found else self._kept
