"""The tokenizer, chat template and settings of a model directory, from any layout's files."""

import base64
import binascii
import shutil
from pathlib import Path
from typing import Any

from glm4_intel.chat.template import read_template
from glm4_intel.chat.tokenizer import ChatTokenizer, byte_of_character
from glm4_intel.errors import Glm4Error
from glm4_intel.model_directory import read_json, write_json

from .source import Checkpoint

_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Where GLM-4's text is cut before its pairs are merged (tokenization_chatglm.py of the original)."""
_BASE_MODELS = ("glm-4-9b", "glm-4-9b-hf", "GLM-4-9B-Base-0414", "GLM-4-32B-Base-0414")
_OWNERS = ("THUDM", "zai-org")
_TEMPLATE = "Fetch the checkpoint's files again, or give one: --chat-template FILE."
_AGAIN = "Fetch the checkpoint's files again, all from one revision."


def write_texts(checkpoint: Checkpoint, directory: Path) -> ChatTokenizer:
    """Everything in a model directory that is not weights or an IR; the prompt that it makes.

    Raises Glm4Error for a tokenizer that is missing, damaged or another model's.
    """
    for name in checkpoint.layout.tokenizer_files:
        if not (checkpoint.path / name).is_file():
            raise Glm4Error(f"{checkpoint.path} has no {name}", _AGAIN)
    if "tokenizer.model" in checkpoint.layout.tokenizer_files:
        _convert(checkpoint.path, directory)
    else:
        shutil.copyfile(checkpoint.path / "tokenizer.json", directory / "tokenizer.json")
        write_json(directory / "tokenizer_config.json", _without_template(checkpoint.path))
    write_json(directory / "config.json", checkpoint.config)
    if (checkpoint.path / "generation_config.json").is_file():
        shutil.copyfile(checkpoint.path / "generation_config.json", directory / "generation_config.json")
    template = checkpoint.template or (None if _is_base(checkpoint) else read_template(checkpoint.path))
    if template is not None:
        (directory / "chat_template.jinja").write_text(template, encoding="utf-8")
    elif any("chat" in name.lower() for name in checkpoint.names):
        raise Glm4Error(f"{checkpoint.path} is a chat model and has no chat template", _TEMPLATE)
    tokenizer = ChatTokenizer.from_directory(directory)
    _require_match(tokenizer, checkpoint.config, checkpoint.path)
    tokenizer.probe()
    return tokenizer


def _is_base(checkpoint: Checkpoint) -> bool:
    """Whether it is one of the original base models, fetched from its authors' repository.

    Those carry the chat models' template all the same. What only has such a name may be a fine-tune: its own template
    decides.
    """
    owner, _, name = checkpoint.source.partition("/")
    return checkpoint.fetched and owner in _OWNERS and name in _BASE_MODELS


def _without_template(path: Path) -> dict[str, Any]:
    """The tokenizer's settings; the template goes into a file of its own."""
    file = path / "tokenizer_config.json"
    settings = read_json(file) if file.is_file() else {}
    return {key: value for key, value in settings.items() if key not in ("chat_template", "auto_map")}


def _require_match(tokenizer: ChatTokenizer, config: dict[str, Any], path: Path) -> None:
    """Refuse another model's tokenizer: ids past the vocabulary, or other stop ids than the config's."""
    largest, rows = tokenizer.bpe.get_vocab_size() - 1, config["vocab_size"]
    if largest >= rows:
        raise Glm4Error(f"The tokenizer of {path} has ids up to {largest:,}, and the vocabulary {rows:,} rows", _AGAIN)
    ends = config.get("eos_token_id")
    stated = {ends} if isinstance(ends, int) else set(ends or ())
    if stated and tokenizer.stop_ids and not stated & set(tokenizer.stop_ids):
        raise Glm4Error(
            f"The tokenizer of {path} is another model's: its replies end with {list(tokenizer.stop_ids)}, "
            f"the config's with {sorted(stated)}",
            _AGAIN,
        )


def _convert(checkpoint: Path, directory: Path) -> None:
    """ChatGLM's tokenizer.model, as tiktoken writes it, to a tokenizer.json with the special tokens at their ids."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors

    ranks = _read_ranks(checkpoint / "tokenizer.model")
    letters = {byte: character for character, byte in byte_of_character().items()}
    text = {token: "".join(letters[byte] for byte in token) for token in ranks}
    vocabulary = {text[token]: rank for token, rank in ranks.items()}
    merges = [(text[left], text[right]) for left, right in _merges(ranks)]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    settings = read_json(checkpoint / "tokenizer_config.json")
    special = _special_tokens(checkpoint / "tokenizer_config.json", settings.get("added_tokens_decoder") or {})
    for id, content in sorted(special.items()):
        tokenizer.add_special_tokens([AddedToken(content, normalized=False, special=True)])
        if tokenizer.token_to_id(content) != id:
            raise Glm4Error(
                f"{checkpoint} puts {content} at {id}, and its vocabulary ends at {len(vocabulary) - 1}", _AGAIN
            )
    tokenizer.save(str(directory / "tokenizer.json"), pretty=False)
    kept = ("clean_up_tokenization_spaces", "eos_token", "pad_token", "model_max_length", "padding_side")
    write_json(
        directory / "tokenizer_config.json",
        {key: settings[key] for key in kept if key in settings}
        | {"tokenizer_class": "PreTrainedTokenizerFast", "additional_special_tokens": list(special.values())},
    )


def _special_tokens(file: Path, stated: Any) -> dict[int, str]:
    """The texts of the tokens beside the vocabulary by their ids, as transformers writes them."""
    try:
        found = {int(id): entry["content"] for id, entry in stated.items()}
    except (AttributeError, TypeError, ValueError, KeyError) as error:
        raise Glm4Error(f"{file} has an added_tokens_decoder that is none", _AGAIN) from error
    if not all(isinstance(text, str) and text for text in found.values()):
        raise Glm4Error(f"{file} has an added_tokens_decoder with a token that is no text", _AGAIN)
    return found


def _read_ranks(path: Path) -> dict[bytes, int]:
    """tiktoken's format: a line for each token, its bytes in base64 and its rank."""
    try:
        lines = (line.split() for line in path.read_bytes().splitlines() if line)
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in lines}
    except (ValueError, binascii.Error) as error:
        raise Glm4Error(f"{path} is not a tiktoken vocabulary: {error}", _AGAIN) from error
    if sorted(ranks.values()) != list(range(len(ranks))) or not ranks:
        raise Glm4Error(f"{path} is cut short: its ranks are not 0 to {len(ranks) - 1}", _AGAIN)
    return ranks


def _merges(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """Every pair of tokens that joins to a third, by the rank of that, then by those of the pair."""
    pairs = []
    for token, rank in ranks.items():
        for cut in range(1, len(token)):
            left, right = ranks.get(token[:cut]), ranks.get(token[cut:])
            if left is not None and right is not None:
                pairs.append((rank, left, right, token[:cut], token[cut:]))
    return [(left, right) for *_, left, right in sorted(pairs)]
