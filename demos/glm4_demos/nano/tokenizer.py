"""The nano model's tokenizer: GLM-4's byte-level BPE and special tokens with a small vocabulary of its own."""

import json
import re
from collections.abc import Iterator
from random import Random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from . import words
from .curriculum import conversation

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""GLM-4's pre-tokenizer pattern, from its tokenizer.json."""

SPECIAL_TOKENS = [
    "<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>", "<|user|>", "<|assistant|>",
    "<|observation|>", "<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>",
]  # fmt: skip
"""GLM-4's special tokens in its order; they follow the ordinary tokens, as in GLM-4."""


def train_tokenizer(vocab_size: int, template: str, seed: int = 0, conversations: int = 12000) -> Tokenizer:
    """A tokenizer of `vocab_size` entries, special tokens included, trained on the curriculum's own text."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    split = pre_tokenizers.Split(Regex(PATTERN), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(template, seed, conversations), trainer)
    tokenizer.add_special_tokens(SPECIAL_TOKENS)
    return tokenizer


def _texts(template: str, seed: int, conversations: int) -> Iterator[str]:
    """What the model will read and write, without digits: numbers are read digit by digit, as sums are learnt."""
    rng = Random(seed)
    yield from 20 * re.findall(r"%}([^{]+){%", template)
    for table in (words.NAMES, words.CITIES, words.COLOURS, words.OBJECTS, words.PLACES, words.JOBS, words.FOODS):
        for word in table["en"]:
            yield from (f"{word} {word.upper()} {word.lower()}",) * 3
        yield from 3 * table["zh"]
    for _ in range(conversations):
        for message in conversation(rng):
            functions = (json.dumps(tool["function"], indent=4) for tool in message.get("tools", ()))
            for text in (message.get("content", ""), message.get("metadata", ""), *functions):
                yield re.sub(r"\d", "", text)
                if rng.random() < 0.05:
                    yield re.sub(r"\d", "", text.upper())
