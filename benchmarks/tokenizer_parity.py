"""How many texts the exported OpenVINO tokenizer splits otherwise than the model's own.

    python benchmarks/tokenizer_parity.py DIR

DIR is a model directory. The texts are those of every single token, and 3,000 of up to 30 tokens drawn at random.
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import openvino
import openvino_tokenizers  # noqa: F401  # adds the tokenizer's operations to OpenVINO
from tokenizers import Tokenizer

from environment import environment

_AT_ONCE = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    args = parser.parse_args()
    own = Tokenizer.from_file(str(args.model / "tokenizer.json"))
    exported = openvino.Core().compile_model(args.model / "openvino_tokenizer.xml", "CPU")
    print(environment())
    for kind, texts in (("single tokens", single_tokens(own)), ("random tokens", random_tokens(own))):
        print(f"{kind}: {len(different(own, exported, texts)):,} of {len(texts):,} texts differ")


def single_tokens(own: Tokenizer) -> list[str]:
    """The text of each token that is one: parts of letters are none, and NUL doesn't reach OpenVINO from Python."""
    texts = own.decode_batch([[id] for id in range(own.get_vocab_size())], skip_special_tokens=False)
    return [text for text in texts if text and "\ufffd" not in text and "\0" not in text]


def random_tokens(own: Tokenizer, count: int = 3000) -> list[str]:
    """Texts of up to 30 tokens each."""
    draw, vocabulary = random.Random(1), own.get_vocab_size(with_added_tokens=False)
    drawn = [[draw.randrange(vocabulary) for _ in range(draw.randint(1, 30))] for _ in range(count)]
    return [text.replace("\ufffd", "").replace("\0", "") for text in own.decode_batch(drawn)]


def different(own: Tokenizer, exported: openvino.CompiledModel, texts: Sequence[str]) -> list[str]:
    """The texts whose ids are not the same."""
    right = [encoding.ids for encoding in own.encode_batch(list(texts), add_special_tokens=False)]
    return [text for text, ids, found in zip(texts, right, exported_ids(exported, texts), strict=True) if ids != found]


def exported_ids(exported: openvino.CompiledModel, texts: Sequence[str]) -> Iterator[list[int]]:
    """The ids of each text, without padding."""
    for start in range(0, len(texts), _AT_ONCE):
        out = exported(list(texts[start : start + _AT_ONCE]))
        for ids, mask in zip(out["input_ids"], out["attention_mask"], strict=True):
            yield [int(id) for id, kept in zip(ids, mask, strict=True) if kept]


if __name__ == "__main__":
    main()
