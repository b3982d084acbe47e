"""Words that are one token although no order of merges leads to it, in OpenVINO's tokenizer.

GLM-4's tokenizer looks a word up before it merges (`ignore_merges` of its BPE model); OpenVINO's operation only merges,
and splits 893 of GLM-4's words (" 参考") into other ids. The words are looked up beside it here.
"""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from glm4_intel.chat.tokenizer import byte_of_character

if TYPE_CHECKING:
    import openvino
    from tokenizers import Tokenizer

_MODEL = "openvino_tokenizer.xml"


def whole_words(tokenizer: "Tokenizer") -> dict[bytes, int]:
    """The words that the tokenizer's merges don't lead to, and their ids; none where it only merges."""
    model = tokenizer.model
    if not getattr(model, "ignore_merges", False):
        return {}
    model.ignore_merges = False
    byte = byte_of_character()
    found = {
        bytes(map(byte.__getitem__, word)): id
        for word, id in tokenizer.get_vocab(with_added_tokens=False).items()
        if [token.id for token in model.tokenize(word)] != [id]
    }
    model.ignore_merges = True
    return found


def take_whole_words(directory: Path, words: dict[bytes, int]) -> None:
    """Rewrite the directory's OpenVINO tokenizer so that each of the words becomes its id."""
    import openvino

    if not words:
        return
    model = openvino.Core().read_model(directory / _MODEL)
    (bpe,) = (node for node in model.get_ops() if node.get_type_name() == "BPETokenizer")
    _look_up_beside(bpe, words)
    model.validate_nodes_and_infer_types()
    made = directory / f"whole_{_MODEL}"
    openvino.save_model(model, made, compress_to_fp16=False)
    del bpe, model  # what reads the weights of the file that is replaced
    for suffix in (".bin", ".xml"):
        made.with_suffix(suffix).replace((directory / _MODEL).with_suffix(suffix))


def _look_up_beside(bpe: "openvino.Node", words: dict[bytes, int]) -> None:
    """Let the operation merge word by word, take the ids of known words instead, and join them to texts again."""
    import openvino.opset15 as ops

    users = [list(output.get_target_inputs()) for output in bpe.outputs()]
    texts = [bpe.input_value(index) for index in range(5)]  # each text's words from and to, each word's bytes from, to
    count = ops.gather(ops.shape_of(texts[2], "i32"), _number(0), _number(0))
    firsts = ops.range(_number(0), count, _number(1), "i32")
    bpe.input(0).replace_source_output(firsts.output(0))
    bpe.input(1).replace_source_output(ops.add(firsts, _number(1)).output(0))
    ends, tokens = _joined(bpe.outputs(), firsts, _ids(texts[2:], words))
    bounds = ops.concat([_number([0]), ends], 0)
    joined = [ops.gather(bounds, texts[0], _number(0)), ops.gather(bounds, texts[1], _number(0)), tokens]
    for inputs, node in zip(users, joined, strict=True):
        for each in inputs:
            each.replace_source_output(node.output(0))


def _ids(parts: "list[openvino.Output]", words: dict[bytes, int]) -> "openvino.Node":
    """The id of each word, [words]; -1 for one that is to be merged."""
    import openvino.opset15 as ops
    from openvino_tokenizers import _get_factory  # type: ignore[attr-defined]  # the operations' only maker

    ends = list(accumulate(map(len, words)))
    keys = [_number([0, *ends[:-1]]), _number(ends), ops.constant(np.frombuffer(b"".join(words), np.uint8))]
    values = [_number(list(words.values())), _number(-1)]
    return _get_factory().create("VocabEncoder", [*parts, *(node.output(0) for node in [*keys, *values])])


def _joined(
    merged: "list[openvino.Output]", firsts: "openvino.Node", ids: "openvino.Node"
) -> "tuple[openvino.Node, openvino.Node]":
    """Where each word's tokens end, [words], and all tokens, [tokens]: a known word's id, or what was merged."""
    import openvino.opset15 as ops

    start, end, tokens = merged
    known = ops.greater_equal(ids, _number(0))
    lengths = ops.select(known, _number(1), ops.subtract(end, start))
    ends = ops.cum_sum(lengths, _number(0))
    origin = ops.select(known, ops.add(firsts, ops.shape_of(tokens, "i32")), start)  # in tokens, then ids
    places = ops.range(_number(0), ops.reduce_sum(lengths, _number(0)), _number(1), "i32")
    shift = ops.subtract(origin, ops.subtract(ends, lengths))
    word = ops.search_sorted(ends, places, right_mode=True)
    source = ops.add(ops.gather(shift, word, _number(0)), places)
    return ends, ops.gather(ops.concat([tokens, ids], 0), source, _number(0))


def _number(value: int | Sequence[int]) -> "openvino.Node":
    import openvino.opset15 as ops

    return ops.constant(np.array(value, np.int32))
