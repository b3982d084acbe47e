"""Checkpoints that lie: each is refused in seconds, with one line that names the file, before any weight is read."""

import io
import json
import os
import pickle
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models

from forms import change_config
from glm4_demos.nano import CHECKPOINT
from glm4_export.checkpoint.source import resolve
from glm4_export.checkpoint.tokenizer import write_texts
from glm4_intel import Glm4Error, load
from glm4_intel.model_directory import MANIFEST


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CHECKPOINT, tmp_path / "checkpoint"))


def refused(checkpoint: Path, said: str) -> None:
    started = time.perf_counter()
    with pytest.raises(Glm4Error, match=said) as raised:
        resolve(str(checkpoint))
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 500 and raised.value.hint
    assert time.perf_counter() - started < 5


ODD = [0, -1, 10**18, 10**400, 1.5, float("nan"), float("inf"), "8", True, [], {}, "\ud800"]


@pytest.mark.parametrize("value", [*ODD, None], ids=lambda value: ascii(value)[:10])
@pytest.mark.parametrize(
    "name",
    ["num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim",
     "vocab_size", "max_position_embeddings"],
)  # fmt: skip
def test_sizes_that_no_model_has(checkpoint: Path, name: str, value: Any) -> None:
    change_config(checkpoint, **{name: value})
    refused(checkpoint, "config.json")


@pytest.mark.parametrize(
    "value", ["x", [], {"a": 1}, float("nan"), 10**400, "\ud800"], ids=lambda value: ascii(value)[:10]
)
@pytest.mark.parametrize(
    "name",
    ["rms_norm_eps", "rope_theta", "partial_rotary_factor", "attention_dropout", "attention_bias", "eos_token_id",
     "pad_token_id", "torch_dtype", "model_type"],
)  # fmt: skip
def test_values_of_another_kind(checkpoint: Path, name: str, value: Any) -> None:
    if (name, value) == ("eos_token_id", []):
        return
    change_config(checkpoint, **{name: value})
    refused(checkpoint, "config.json|has the architecture")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("use_cache", [0, "x", [], {"a": 1}]),
        ("layer_types", [3, "x", ["sliding_attention"], {"a": 1}]),
        ("architectures", [3, "x", [], ["LlamaForCausalLM"]]),
        ("initializer_range", ["x", -1, []]),
        ("transformers_version", [3, "x", []]),
        ("sliding_window", ["x", 3]),
        ("output_attentions", [True, "x"]),
        ("pruned_heads", [{"a": 1}, 3]),
        ("id2label", [3, "x"]),
        ("_attn_implementation", ["x", 3]),
        ("rope_scaling", [0, [], {}, {"a": 1}, {"rope_type": "default", "factor": "x"}]),
    ],
)
def test_values_that_nothing_is_computed_by_have_no_effect(checkpoint: Path, name: str, values: list[Any]) -> None:
    right = resolve(str(checkpoint)).config
    for value in values:
        change_config(checkpoint, **{name: value})
        assert resolve(str(checkpoint)).config == right


@pytest.mark.parametrize("value", ["relu", "nonsense"])
def test_an_activation_that_no_glm4_has(checkpoint: Path, value: str) -> None:
    change_config(checkpoint, hidden_act=value)
    refused(checkpoint, "has hidden_act")


@pytest.mark.parametrize("value", ["x", 3, True, ["a"], {"type": []}, {"type": "linear"}])
def test_a_rope_scaling_that_is_none(checkpoint: Path, value: Any) -> None:
    change_config(checkpoint, rope_scaling=value)
    refused(checkpoint, "config.json has (a )?rope_scaling")


@pytest.mark.parametrize(
    "name", ["factor", "original_max_position_embeddings", "beta_fast", "beta_slow", "attention_factor", "mscale"]
)
@pytest.mark.parametrize(
    "value", ["x", -1, True, [], {"a": 1}, float("nan"), 1e300, 10**400], ids=lambda v: ascii(v)[:8]
)
def test_a_scaling_with_impossible_numbers(checkpoint: Path, name: str, value: Any) -> None:
    change_config(checkpoint, rope_scaling={"type": "yarn", "factor": 2.0, name: value})
    refused(checkpoint, f"config.json has a rope_scaling with {name}")


def test_a_llama3_scaling_needs_its_numbers(checkpoint: Path) -> None:
    change_config(checkpoint, rope_scaling={"rope_type": "llama3", "factor": 2.0})
    refused(checkpoint, "config.json has a rope_scaling with original_max_position_embeddings None")


def tokenizer_of(kind: str) -> dict[str, Any]:
    """A tokenizer.json of another kind, as Hugging Face's library writes it."""
    words = {"[UNK]": 0, "hello": 1, "world": 2}
    model = {
        "WordLevel": models.WordLevel(words, unk_token="[UNK]"),
        "WordPiece": models.WordPiece(words, unk_token="[UNK]"),
        "Unigram": models.Unigram([("[UNK]", 0.0), ("hello", -1.0)], unk_id=0),
        "BPE": models.BPE(words, [], unk_token="[UNK]"),
    }[kind]
    return dict(json.loads(Tokenizer(model).to_str()))


@pytest.mark.parametrize("kind", ["WordLevel", "WordPiece", "Unigram", "BPE"])
def test_a_tokenizer_of_another_kind(checkpoint: Path, nano: Path, tmp_path: Path, kind: str) -> None:
    """It would load, and answer nonsense; BPE that is not of bytes too."""
    other = {key: value for key, value in tokenizer_of(kind).items() if key != "added_tokens"}
    file, texts = checkpoint / "tokenizer.json", tmp_path / "texts"
    own = json.loads(file.read_text())
    file.write_text(json.dumps(own | other))
    texts.mkdir()
    said = f"has a tokenizer of the kind {kind}" if kind != "BPE" else "does not read texts byte by byte"
    with pytest.raises(Glm4Error, match=said):
        write_texts(resolve(str(checkpoint)), texts)
    copy = Path(shutil.copytree(nano, tmp_path / "copy"))
    (copy / MANIFEST).unlink()
    (copy / "tokenizer.json").write_text(json.dumps(own | other))
    with pytest.raises(Glm4Error, match=said):
        load(copy)


def test_more_layers_than_there_are_tensors(checkpoint: Path) -> None:
    change_config(checkpoint, num_hidden_layers=1_000_000)
    refused(checkpoint, "has 1,000,000 layers, and there are")


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 100_000, "[]", "", "\0" * 100, '{"a": "\\ud800"}'])
def test_json_that_is_none(checkpoint: Path, name: str, content: str) -> None:
    (checkpoint / name).write_text(content)
    refused(checkpoint, f"{name} (can't be read|holds no JSON object)")


def with_header(change: Callable[[dict, dict], None]) -> bytes:
    """The nano model's weights under a header that was changed; the function is given it and its first entry."""
    whole = (CHECKPOINT / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    change(header, next(entry for name, entry in header.items() if name != "__metadata__"))
    written = json.dumps(header).encode()
    return struct.pack("<Q", len(written)) + written + whole[8 + length :]


LIES = {
    "empty": b"",
    "short": b"1234567",
    "a header past the file": struct.pack("<Q", 10**18) + b"x" * 100,
    "the largest header": b"\xff" * 8 + b"{}",
    "no header": struct.pack("<Q", 0),
    "no JSON": struct.pack("<Q", 4) + b"[[[[",
    "a list": struct.pack("<Q", 2) + b"[]",
    "nested": struct.pack("<Q", 200_000) + b"[" * 200_000,
    "past the end": with_header(lambda header, entry: entry.update(data_offsets=[10**9, 10**9 + 5])),
    "before the start": with_header(lambda header, entry: entry.update(data_offsets=[-100, 200])),
    "one offset": with_header(lambda header, entry: entry.update(data_offsets=[1])),
    "offsets of text": with_header(lambda header, entry: entry.update(data_offsets=["a", "b"])),
    "a type of another kind": with_header(lambda header, entry: entry.update(dtype=[])),
    "a negative shape": with_header(lambda header, entry: entry.update(shape=[-1, 5])),
    "no shape": with_header(lambda header, entry: entry.update(shape=None)),
    "a number as an entry": with_header(lambda header, entry: header.update(x=5)),
}


@pytest.mark.parametrize("name", LIES)
def test_safetensors_that_lie(checkpoint: Path, name: str) -> None:
    (checkpoint / "model.safetensors").write_bytes(LIES[name])
    refused(checkpoint, "model.safetensors is (damaged|cut short)|is quantized already")


def test_a_header_of_gigabytes_is_not_read(checkpoint: Path) -> None:
    with (checkpoint / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", 3 << 30))
        file.truncate((3 << 30) + 100)
    refused(checkpoint, "is damaged: it has no safetensors header")


@pytest.mark.parametrize(
    "stated",
    [
        [],
        None,
        {"a": 5},
        {"a": "../../../etc/passwd"},
        {"a": "/etc/passwd"},
        {"a": "a\0"},
        {"a": "x" * 5000},
        {"a": ""},
    ],
    ids=str,
)
def test_an_index_that_names_no_file_of_its_own(checkpoint: Path, stated: Any) -> None:
    (checkpoint / "model.safetensors").rename(checkpoint / "a.safetensors")
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps({"weight_map": stated}))
    refused(checkpoint, "index.json names .*, which is no file of this folder")


class Harmful:
    """Runs a program when it is unpickled."""

    def __reduce__(self) -> tuple:
        return os.system, ("touch /tmp/glm4-was-harmed",)


def saved(value: Any, **options: Any) -> bytes:
    written = io.BytesIO()
    torch.save(value, written, **options)
    return written.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Harmful()),
        saved({"a": Harmful()}),
        saved(Harmful(), _use_new_zipfile_serialization=False),
        saved([1, 2]),
        saved({"a": 5}),
        saved({5: torch.zeros(2)}),
        saved({"a": torch.zeros(2)})[:300],
        b"",
        bytes(2000),
    ],
    ids=["pickle", "in a dict", "the older form", "a list", "a number", "a number as name", "cut", "empty", "zeros"],
)
def test_pickles_run_no_code(checkpoint: Path, content: bytes) -> None:
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / "pytorch_model.bin").write_bytes(content)
    refused(checkpoint, "pytorch_model.bin can't be read")
    assert not Path("/tmp/glm4-was-harmed").exists()


def test_a_tokenizer_that_pads_or_cuts_is_read_without(checkpoint: Path, tmp_path: Path) -> None:
    file = checkpoint / "tokenizer.json"
    cutting = {"max_length": 1, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    padding = {"strategy": {"Fixed": 10**9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
               "pad_type_id": 0, "pad_token": "x"}  # fmt: skip
    file.write_text(json.dumps(json.loads(file.read_text()) | {"truncation": cutting, "padding": padding}))
    texts = tmp_path / "texts"
    texts.mkdir()
    tokenizer = write_texts(resolve(str(checkpoint)), texts)
    assert tokenizer.decode(tokenizer.encode_text("a long text of words")) == "a long text of words"


def test_a_tokenizer_without_special_tokens(checkpoint: Path, tmp_path: Path) -> None:
    file = checkpoint / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"added_tokens": []}))
    texts = tmp_path / "texts"
    texts.mkdir()
    with pytest.raises(Glm4Error, match="has no tokens that end a reply"):
        write_texts(resolve(str(checkpoint)), texts)
