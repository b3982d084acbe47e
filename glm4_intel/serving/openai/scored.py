"""`/v1/completions` with echo and logprobs: how likely a text's own tokens are, as evaluations ask (lm-eval)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from ...chat.tokenizer import ChatTokenizer
from ..served import Served


@dataclass(frozen=True)
class ScoredText:
    """A text's ids, and the likeliest that follows it where that is asked for."""

    ids: Sequence[int]
    logprobs: Sequence[float | None]
    """None for the first, before which nothing stands."""
    likeliest: Sequence[Mapping[int, float]]
    """The likeliest tokens in the place of each, with their logprobs; none for the first."""

    def told(self, tokenizer: ChatTokenizer, top: int) -> dict[str, Any]:
        """OpenAI's form: its logprobs of a completion."""
        texts = [tokenizer.decode([id], skip_special=False) for id in self.ids]
        offsets = list(accumulate(map(len, texts[:-1]), initial=0))
        likeliest = [self._named(index, tokenizer) for index in range(len(texts))] if top else None
        return {"tokens": texts, "token_logprobs": list(self.logprobs), "text_offset": offsets,
                "top_logprobs": likeliest}  # fmt: skip

    def _named(self, index: int, tokenizer: ChatTokenizer) -> dict[str, float] | None:
        """The likeliest in a place and the token itself, by their texts; of two with one text, the likelier."""
        logprob = self.logprobs[index]
        if logprob is None:
            return None
        every = {**self.likeliest[index], self.ids[index]: logprob}
        least_first = sorted(every.items(), key=lambda each: each[1])
        return {tokenizer.decode([id], skip_special=False): value for id, value in least_first}


async def scored_text(model: Served, ids: Sequence[int], top: int, following: bool) -> ScoredText:
    """The scores of a text; with `following`, of the likeliest token behind it too. Raises ServerError."""
    width, own, tops = max(1, top), list[float](), list[dict[int, float]]()
    async for piece in model.engine.score(ids, width):
        own += piece.following
        pairs = list(zip(piece.ids, piece.logprobs, strict=True))
        tops += [dict(pairs[start : start + width]) for start in range(0, len(pairs), width)]
    if not following:
        return ScoredText(ids, [None, *own], [{}, *tops[:-1]])
    next_id, logprob = next(iter(tops[-1].items()))
    return ScoredText([*ids, next_id], [None, *own, logprob], [{}, *tops])
