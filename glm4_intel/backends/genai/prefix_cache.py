"""How many tokens of a prompt the pipeline takes from its KV cache, which it does not tell.

The pipeline keeps the blocks of replies that have ended, by a hash of all tokens up to a block's end, and begins a
prompt behind the longest run of them that it finds. All of that follows from the tokens that it was given and gave, so
it is computed here a second time, in the same order (OpenVINO GenAI 2026.4, `cache/block_manager.hpp` and
`scheduler.hpp`). After every step the number of blocks in use is compared with the pipeline's own: where they ever
differ, nothing is told any more.
"""

import itertools
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Block:
    touched: int
    """When it was last found or taken from another, in the order of all such events."""
    key: int = 0
    users: int = 0


@dataclass(eq=False)
class CachedPrompt:
    """A reply as the cache sees it."""

    ids: list[int]
    """Of the prompt and what was written."""
    block_size: int
    prompt: int = field(init=False)
    cached: int = 0
    """Tokens of the prompt that were there already."""
    over: bool = False
    """Whether it has ended, or nobody waits for it."""
    processed: int = 0
    scheduled: int = 0
    blocks: list[_Block] = field(default_factory=list)
    _whole: list[int] = field(default_factory=list)
    """The keys of its whole blocks."""

    def __post_init__(self) -> None:
        self.prompt = len(self.ids)

    @property
    def torn(self) -> bool:
        """Whether its last block is found by tokens that have not been computed yet.

        The pipeline files a block when a step begins to fill it. One that a cancelled prompt leaves so is taken for
        whole by the next prompt that begins alike, whose reply is then a wrong one.
        """
        return self.cached < self.processed < self.prompt and self.processed % self.block_size != 0

    def key(self, length: int) -> int:
        """Of the block in which its first `length` tokens end."""
        size = self.block_size
        while size * (len(self._whole) + 1) <= length:
            self._whole.append(self._hash(size * (len(self._whole) + 1)))
        return self._whole[length // size - 1] if length % size == 0 else self._hash(length)

    def _hash(self, length: int) -> int:
        start = (length - 1) // self.block_size * self.block_size
        before = self._whole[start // self.block_size - 1] if start else 0
        return hash((before, *self.ids[start:length]))


class PrefixCache:
    """The pipeline's KV cache: so many blocks of so many tokens, of which a step computes at most `batch`."""

    def __init__(self, blocks: int, block_size: int, batch: int) -> None:
        self._total, self._size, self._batch = blocks, block_size, batch
        self._clock = itertools.count()
        self._free = deque(_Block(next(self._clock)) for _ in range(blocks))
        self._kept: dict[int, _Block] = {}
        """Blocks that nobody uses and that can still be found."""
        self._known: dict[int, _Block] = {}
        self._prompts: list[CachedPrompt] = []
        self.sure = True
        """Whether all that was computed here agreed with the pipeline so far."""

    def add(self, ids: Sequence[int]) -> CachedPrompt:
        """A request, with what is cached of it."""
        prompt = CachedPrompt(list(ids), self._size)
        if not self.sure:
            return prompt
        for length in self._cached_lengths(prompt):
            block = self._find(prompt.key(length))
            block.users, block.touched = block.users + 1, next(self._clock)
            prompt.blocks.append(block)
            prompt.processed = prompt.cached = min(length, prompt.prompt - 1)  # the last token is always computed
        self._prompts.append(prompt)
        return prompt

    def schedule(self) -> None:
        """A step of the pipeline: each reply's next token first, then prompts as far as the batch goes."""
        left = self._batch if self.sure else 0
        for prompt in self._prompts:
            if not prompt.over and prompt.processed >= prompt.prompt and left:
                prompt.scheduled, left = 1, left - 1
                self._append(prompt)
        for prompt in self._prompts:
            if not prompt.over and prompt.processed < prompt.prompt and left:
                scheduled = min(left, prompt.prompt - prompt.processed)
                self._allocate(prompt, -(-(prompt.processed + scheduled) // self._size) - len(prompt.blocks))
                prompt.scheduled, left = scheduled, left - scheduled

    def end_step(self, used: float) -> None:
        """The step's end, once `ids` and `over` of its replies are told. `used` is the pipeline's word, in percent."""
        if not self.sure:
            return
        in_use = self._total - len(self._free) - len(self._kept)
        for prompt in self._prompts:
            prompt.processed, prompt.scheduled = prompt.processed + prompt.scheduled, 0
        if round(used / 100 * self._total) != in_use or not self._agrees():
            self.sure = False
            log.warning("the KV cache is not as it was computed; tokens taken from it are not told any more")
        for prompt in [each for each in self._prompts if each.over]:
            self._prompts.remove(prompt)
            for block in prompt.blocks:
                self._release(block)

    def _agrees(self) -> bool:
        """Whether as much was written as has been computed: one token more, once the prompt is through."""
        going = [each for each in self._prompts if not each.over]
        return all(len(each.ids) == max(each.prompt, each.processed + 1 if each.processed >= each.prompt else 0)
                   for each in going)  # fmt: skip

    def _cached_lengths(self, prompt: CachedPrompt) -> list[int]:
        """Where the blocks end that can be found: whole ones, and one that is not full behind them."""
        found: list[int] = []
        for start in range(0, prompt.prompt, self._size):
            end = min(start + self._size, prompt.prompt)
            if self._has(prompt.key(end)):
                found.append(end)
                continue
            part = next((length for length in range(start + 1, end) if self._has(prompt.key(length))), None)
            return found + ([part] if part else [])
        return found

    def _has(self, key: int) -> bool:
        return key in self._kept or key in self._known

    def _find(self, key: int) -> _Block:
        return self._kept.pop(key, None) or self._known[key]

    def _append(self, prompt: CachedPrompt) -> None:
        """Room for the token that was written last; a block that others use too is copied first."""
        length = prompt.processed + 1
        missing = -(-length // self._size) - len(prompt.blocks)
        last = prompt.blocks[-1]
        if missing > 0:
            self._allocate(prompt, missing)
        elif last.users > 1:
            prompt.blocks[-1] = self._take(prompt.key(length))
            self._release(last)
        else:
            self._rename(last, prompt.key(length))

    def _allocate(self, prompt: CachedPrompt, count: int) -> None:
        """Further blocks of a reply; the one before them is full by then."""
        if count <= 0:
            return
        if prompt.blocks:
            self._rename(prompt.blocks[-1], prompt.key(len(prompt.blocks) * self._size))
        for _ in range(count):
            length = min((len(prompt.blocks) + 1) * self._size, len(prompt.ids))
            prompt.blocks.append(self._take(prompt.key(length)))

    def _rename(self, block: _Block, key: int) -> None:
        if block.key != key:
            self._known.pop(block.key, None)
            block.key, self._known[key] = key, block

    def _take(self, key: int) -> _Block:
        """A block that is free, or the one that nobody has used for longest."""
        if self._free:
            block = self._free.popleft()
        else:
            block = min(self._kept.values(), key=lambda kept: kept.touched)
            del self._kept[block.key]
            self._known.pop(block.key, None)
            block.touched = next(self._clock)
        block.key, block.users, self._known[key] = key, 1, block
        return block

    def _release(self, block: _Block) -> None:
        block.users -= 1
        if block.users:
            return
        if same := self._kept.pop(block.key, None):
            self._free.append(same)
            if self._known.get(block.key) is same:
                self._known[block.key] = block
        self._kept[block.key] = block
