"""Which replica writes a reply: the one that holds the longest prefix of its prompt, or the one with the least to do.

A prompt is known by the keys of its blocks, each of which stands for all tokens up to its block's end. What a replica
holds is what it was sent, the latest first, as far as its KV cache has room. The rule is that of SGLang's gateway.
"""

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Collection, Hashable, Sequence
from itertools import islice

BLOCK_TOKENS = 32
"""As many as the engine's own blocks have on a CPU."""
_LEAST_SHARE = 0.3
"""Of a prompt that a replica must hold for the prompt to go there."""
_AHEAD, _TIMES = 16, 1.5
"""A replica that has so many replies more than the least loaded, and so many times as many, gets no further ones for
what it holds; the first is what an engine writes at once."""


def block_keys(ids: Sequence[int], adapter: str | None = None) -> list[bytes]:
    """The keys of a prompt's whole blocks, which prompts share that begin alike for the same adapter."""
    key, keys = (adapter or "").encode(), list[bytes]()
    for start in range(0, len(ids) - BLOCK_TOKENS + 1, BLOCK_TOKENS):
        block = array("q", ids[start : start + BLOCK_TOKENS])
        key = hashlib.blake2b(key + block.tobytes(), digest_size=16).digest()
        keys.append(key)
    return keys


class PrefixRouting:
    """What a front knows of its replicas, which are names here. Not safe for several threads."""

    def __init__(self, capacity: int, least_share: float = _LEAST_SHARE, ahead: float = _AHEAD) -> None:
        """`capacity`: the blocks that a replica's KV cache holds. The others are the rule's."""
        self.capacity, self.least_share, self._ahead = capacity, least_share, ahead
        self._loads: dict[str, int] = {}
        self._held: dict[str, OrderedDict[Hashable, None]] = {}
        self._holders: dict[Hashable, set[str]] = {}
        self.asked = self.found = 0
        """Blocks of all prompts, and those of them that their replicas held."""

    def keep(self, names: Collection[str]) -> None:
        """Know these replicas and no others."""
        for gone in self._loads.keys() - set(names):
            del self._loads[gone]
            for key in self._held.pop(gone):
                self._let_go(gone, key)
        for name in names:
            self._loads.setdefault(name, 0)
            self._held.setdefault(name, OrderedDict())

    def choose(self, keys: Sequence[Hashable], avoid: Collection[str] = ()) -> str:
        """The replica for a prompt, none of `avoid` while there are others; `keep` has named one at least."""
        able = self._loads.keys() - set(avoid) or self._loads.keys()
        shared, holders = self._longest(keys)
        holders &= able
        if shared < self.least_share * len(keys) or not holders:
            return self._least_loaded(able)
        best = self._least_loaded(holders)
        most, fewest = self._loads[best], min(map(self._loads.__getitem__, able))
        return self._least_loaded(able) if most - fewest > self._ahead and most > _TIMES * fewest else best

    def _least_loaded(self, names: Collection[str]) -> str:
        """Of those with the fewest replies, the one that holds the fewest blocks."""
        fewest = min(map(self._loads.__getitem__, names))
        return min((len(self._held[name]), name) for name in names if self._loads[name] == fewest)[1]

    def _longest(self, keys: Sequence[Hashable]) -> tuple[int, set[str]]:
        """How many of the first blocks the replicas hold that hold the most, and those replicas."""
        found: set[str] = set()
        for count, key in enumerate(keys):
            holding = self._holders.get(key, set())
            still = found & holding if count else holding
            if not still:
                return count, found
            found = still
        return len(keys), found

    def begin(self, name: str, keys: Sequence[Hashable]) -> None:
        """A prompt has been sent to a replica, which holds it from now on."""
        self._loads[name] = self._loads.get(name, 0) + 1
        held = self._held.setdefault(name, OrderedDict())
        self.asked += len(keys)
        self.found += next((count for count, key in enumerate(keys) if key not in held), len(keys))
        for key in reversed(keys):  # so that a prompt's end is forgotten before its beginning
            held[key] = None
            held.move_to_end(key)
            self._holders.setdefault(key, set()).add(name)
        for key in list(islice(held, max(0, len(held) - self.capacity))):
            del held[key]
            self._let_go(name, key)

    def end(self, name: str) -> None:
        """A reply of a replica has ended."""
        if self._loads.get(name):
            self._loads[name] -= 1

    def _let_go(self, name: str, key: Hashable) -> None:
        holders = self._holders[key]
        holders.discard(name)
        if not holders:
            del self._holders[key]


_ROUTINGS: dict[str, PrefixRouting] = {}


def routing_of(name: str) -> PrefixRouting:
    """What this process knows of a deployment's replicas; the capacity is set once a replica has told it.

    Ray copies the module of a router to where it is used; this one is in a process once.
    """
    return _ROUTINGS.setdefault(name, PrefixRouting(0))
