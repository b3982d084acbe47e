"""Checkpoints as people have them: fine-tunes, clones, merges and settings that the originals never had."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from conftest import ask
from forms import as_chatglm, as_pytorch, change_config, change_json, change_tensors, read_config
from glm4_demos.nano import CHECKPOINT
from glm4_export.checkpoint.source import resolve
from glm4_export.checkpoint.tokenizer import write_texts
from glm4_export.checkpoint.weights import load
from glm4_export.making import MakeOptions, make
from glm4_export.openvino.maker import OpenVINOMaker
from glm4_export.progress import Progress
from glm4_intel import Glm4Error, model_directory
from glm4_intel import load as load_runtime
from glm4_intel.backends import EngineOptions
from glm4_intel.chat.tokenizer import ChatTokenizer
from glm4_quantize.recipes import RECIPES


class Told(Progress):
    """Keeps what an export says of itself."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.notes: list[str] = []

    def stage(self, name: str, total: int = 0, unit: str = "B", shown: bool = False) -> None:
        self.stages.append(name)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CHECKPOINT, tmp_path / "checkpoint"))


def exported(checkpoint: Path, out: Path, options: MakeOptions = MakeOptions()) -> tuple[Path, Told]:  # noqa: B008
    told = Told()
    return make(str(checkpoint), out, OpenVINOMaker(recipe=RECIPES["cpu"]), options, told), told


def answers(out: Path) -> bool:
    with load_runtime(out, device="CPU") as runtime:
        return "42" in runtime.generate(ask("What is 17 + 25?"), temperature=0, max_new_tokens=40).text


def test_a_chat_fine_tune_of_a_base_model_chats(checkpoint: Path, tmp_path: Path) -> None:
    change_config(checkpoint, _name_or_path="THUDM/glm-4-9b")
    named = checkpoint.rename(tmp_path / "glm-4-9b")
    out, _ = exported(named, tmp_path / "out")
    manifest = model_directory.read(out).manifest
    assert manifest is not None and manifest.chats and answers(out)


def test_the_original_base_model_completes_though_it_carries_a_template(checkpoint: Path, tmp_path: Path) -> None:
    fetched = replace(resolve(str(checkpoint)), source="THUDM/glm-4-9b-hf", fetched=True)
    texts = tmp_path / "texts"
    texts.mkdir()
    assert not write_texts(fetched, texts).chats


def test_a_model_without_a_template_is_said_to_complete_text(tmp_path: Path) -> None:
    bare = as_chatglm(CHECKPOINT, tmp_path / "codegeex4-all-9b")
    change_json(bare / "tokenizer_config.json", chat_template=None)
    _, told = exported(bare, tmp_path / "out")
    assert len(told.notes) == 1 and "has no chat template" in told.notes[0] and "--chat-template" in told.notes[0]
    given = MakeOptions(chat_template=CHECKPOINT / "chat_template.jinja")
    out, told = exported(bare, tmp_path / "chats", given)
    assert not told.notes and answers(out)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "can't be read"),
        ("{% if %}", "chat template is broken"),
        ("\xff", "can't be read"),
        ("\0" * (1 << 21), "has more than 1,048,576 characters"),
    ],
)
def test_a_given_template_that_is_none_stops_before_any_work(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "given.jinja"
    if text is not None:
        file.write_bytes(text.encode("latin-1"))
    told = Told()
    with pytest.raises(Glm4Error, match=said):
        make("nano", tmp_path / "out", OpenVINOMaker(), MakeOptions(chat_template=file), told)
    assert told.stages == ["reading the checkpoint"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"top_k": -1}, "top_k is -1"),
        ({"max_new_tokens": -1}, "max_new_tokens is -1"),
        ({"temperature": "0.8"}, "temperature must be a number, not '0.8'"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"top_p": float("nan")}, "top_p is nan"),
        ({"do_sample": "yes"}, "do_sample must be true or false, not 'yes'"),
        ({"max_length": "8192"}, "max_length must be a number, not '8192'"),
        ({"num_beams": True}, "num_beams must be a number, not True"),
        ({"eos_token_id": ["x"]}, r"eos_token_id must be a list of token ids, not \['x'\]"),
        ({"eos_token_id": {"a": 1}}, "eos_token_id must be a list of token ids"),
        ({"stop_strings": [1]}, "stop must be a text or a list of texts"),
        (None, "can't be read"),
    ],
)
def test_impossible_generation_settings_stop_before_any_work(
    checkpoint: Path, tmp_path: Path, change: dict | None, said: str
) -> None:
    file = checkpoint / "generation_config.json"
    if change is None:
        file.write_text("{")
    else:
        change_json(file, **change)
    told = Told()
    with pytest.raises(Glm4Error, match=f"generation_config.json.*{said}"):
        make(str(checkpoint), tmp_path / "out", OpenVINOMaker(), progress=told)
    assert told.stages == ["reading the checkpoint"]


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "a" * 64 + "\nsize 1984000000\n"


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "tokenizer.json", "tokenizer.model"])
def test_a_clone_without_git_lfs(checkpoint: Path, name: str) -> None:
    if name == "pytorch_model.bin":
        (checkpoint / "model.safetensors").unlink()
    (checkpoint / name).write_text(POINTER)
    with pytest.raises(Glm4Error, match=f"{name} is a git-lfs pointer") as raised:
        resolve(str(checkpoint))
    assert "git lfs pull" in raised.value.hint


@pytest.mark.parametrize("with_config", [True, False])
@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("adapter_config.json", r"is an adapter \(LoRA\) and no whole model; its base is THUDM/glm-4-9b-chat"),
        ("zero_to_fp32.py", "is DeepSpeed's state of a training"),
        ("glm-4-Q4_K_M.gguf", "holds llama.cpp's GGUF"),
    ],
)
def test_a_folder_without_weights_is_called_what_it_is(
    checkpoint: Path, file: str, said: str, with_config: bool
) -> None:
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / file).write_text('{"peft_type": "LORA", "base_model_name_or_path": "THUDM/glm-4-9b-chat"}')
    if not with_config:
        (checkpoint / "config.json").unlink()
    with pytest.raises(Glm4Error, match=said):
        resolve(str(checkpoint))


def test_a_merge_keeps_its_adapters_config_beside_its_weights(checkpoint: Path) -> None:
    (checkpoint / "adapter_config.json").write_text("{}")
    assert resolve(str(checkpoint)).shards


def as_gptq(tensors: dict[str, torch.Tensor]) -> None:
    for name in [name for name in tensors if name.endswith("proj.weight")]:
        rows, columns = tensors.pop(name).shape
        tensors[name.replace("weight", "qweight")] = torch.zeros(columns // 8, rows, dtype=torch.int32)
        tensors[name.replace("weight", "scales")] = torch.zeros(1, rows, dtype=torch.float16)


def cast(type: torch.dtype) -> Callable[[dict[str, torch.Tensor]], None]:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if name.endswith("proj.weight")]:
            tensors[name] = tensors[name].to(type)

    return change


@pytest.mark.parametrize("pickled", [False, True])
@pytest.mark.parametrize(
    ("change", "method"),
    [
        (as_gptq, "gptq"), (as_gptq, "awq"), (cast(torch.float8_e4m3fn), "fp8"), (cast(torch.int8), "bitsandbytes"),
        (cast(torch.uint8), "bitsandbytes"), (cast(torch.int8), None),
    ],
)  # fmt: skip
def test_weights_that_are_quantized_already(
    checkpoint: Path, change: Callable[[dict[str, torch.Tensor]], None], method: str | None, pickled: bool
) -> None:
    change_tensors(checkpoint, change)
    if method:
        change_config(checkpoint, quantization_config={"quant_method": method})
    if pickled:
        as_pytorch(checkpoint)
    with pytest.raises(Glm4Error, match="is quantized already" + (rf" \({method}\)" if method else ":")):
        resolve(str(checkpoint))


@pytest.mark.parametrize(
    ("file", "stated", "method"),
    [
        ("quantize_config.json", {}, "gptq"),
        ("quant_config.json", {}, "awq"),
        ("hf_quant_config.json", {}, "modelopt"),
        ("README.md", {"quantization_config": "awq"}, "awq"),
        ("README.md", {"compression_config": {"quant_method": "compressed-tensors"}}, "compressed-tensors"),
    ],
)
def test_the_method_is_read_wherever_a_tool_leaves_it(checkpoint: Path, file: str, stated: dict, method: str) -> None:
    change_tensors(checkpoint, as_gptq)
    change_config(checkpoint, **stated)
    (checkpoint / file).write_text('{"bits": 4}')
    with pytest.raises(Glm4Error, match=rf"is quantized already \({method}\)"):
        resolve(str(checkpoint))


def test_buffers_of_whole_numbers_are_no_quantized_weights(checkpoint: Path, tmp_path: Path) -> None:
    change_tensors(checkpoint, lambda tensors: tensors.update({"model.position_ids": torch.arange(8)}))
    with pytest.raises(Glm4Error, match=r"has model\.position_ids, which its config does not describe"):
        make(str(checkpoint), tmp_path / "out", OpenVINOMaker())


@pytest.mark.parametrize(
    ("name", "new"),
    [
        ("model.norm.weight", "base_model.model.model.norm.weight"),
        ("model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.q_proj.base_layer.weight"),
        ("model.norm.weight", "model.layers.0.self_attn.q_proj.lora_A.default.weight"),
    ],
)
def test_an_adapter_that_is_not_merged_is_named(checkpoint: Path, name: str, new: str) -> None:
    change_tensors(checkpoint, lambda tensors: tensors.update({new: tensors.pop(name)}))
    with pytest.raises(Glm4Error, match="holds an adapter that is not merged"):
        resolve(str(checkpoint))


def test_a_merge_whose_config_still_names_its_bases_quantization(checkpoint: Path, tmp_path: Path) -> None:
    change_config(checkpoint, quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})
    out, _ = exported(checkpoint, tmp_path / "out")
    assert answers(out) and "quantization_config" not in read_config(out)


def test_a_vocabulary_that_was_resized_is_named(tmp_path: Path) -> None:
    resized = as_chatglm(CHECKPOINT, tmp_path / "resized")

    def grow(tensors: dict[str, torch.Tensor]) -> None:
        for name in ("transformer.embedding.word_embeddings.weight", "transformer.output_layer.weight"):
            tensors[name] = torch.cat([tensors[name], torch.zeros(64, 256, dtype=torch.bfloat16)])

    change_tensors(resized, grow)
    change_config(resized, vocab_size=3136)
    with pytest.raises(Glm4Error, match="3,136 rows, and config.json says 3,072") as raised:
        exported(resized, tmp_path / "out")
    assert "put 3136 into config.json" in raised.value.hint
    change_config(resized, padded_vocab_size=3136)
    assert answers(exported(resized, tmp_path / "out")[0])


@pytest.mark.parametrize("layout", ["glm", "chatglm"])
def test_a_trained_head_is_kept_where_the_config_ties_it(checkpoint: Path, tmp_path: Path, layout: str) -> None:
    trained = as_chatglm(checkpoint, tmp_path / "chatglm") if layout == "chatglm" else checkpoint
    change_config(trained, tie_word_embeddings=True)
    out, _ = exported(trained, tmp_path / "out")
    assert answers(out) and not read_config(out)["tie_word_embeddings"]


def test_a_head_that_is_tied_and_not_there_is_the_embedding(checkpoint: Path) -> None:
    change_config(checkpoint, tie_word_embeddings=True)
    change_tensors(checkpoint, lambda tensors: tensors.pop("lm_head.weight"))
    model, _ = load(resolve(str(checkpoint)))
    assert model.lm_head.weight is model.model.embed_tokens.weight


YARN = {"factor": 4.0, "original_max_position_embeddings": 2048}


@pytest.mark.parametrize(
    "stated",
    [
        {"rope_scaling": {"type": "yarn", **YARN}},
        {"rope_scaling": {"rope_type": "yarn", **YARN}},
        {"rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, **YARN}},
        {"rope_scaling": {"type": "yarn", "factor": 4.0}},
        {"rope_scaling": {"type": "yarn", **YARN}, "max_position_embeddings": 8192},
    ],
)
def test_yarn_makes_the_context_longer(checkpoint: Path, tmp_path: Path, stated: dict) -> None:
    change_config(checkpoint, **stated)
    resolved = resolve(str(checkpoint))
    assert resolved.config["max_position_embeddings"] == 8192
    model, _ = load(resolved)
    assert model.model.rotary_emb.rope_type == "yarn" and model.model.rotary_emb.attention_scaling > 1
    kept, _ = load(resolve(str(checkpoint), theta=20000.0))
    assert kept.config.rope_parameters["rope_theta"] == 20000.0 and kept.model.rotary_emb.rope_type == "yarn"


def test_a_directory_of_yarn_has_its_context(checkpoint: Path, tmp_path: Path) -> None:
    change_config(checkpoint, rope_scaling={"type": "yarn", **YARN})
    out, _ = exported(checkpoint, tmp_path / "out")
    with load_runtime(out, device="CPU", engine=EngineOptions(context=8192)) as runtime:
        assert runtime.context_length == 8192


@pytest.mark.parametrize(
    ("scaling", "said"),
    [
        ({"type": "dynamic", "factor": 4.0}, "rope_scaling of the type 'dynamic'"),
        ({"type": "yarn", "factor": "4"}, "factor '4'"),
        ({"type": "yarn"}, "factor None"),
        ("yarn", "rope_scaling 'yarn'"),
    ],
)
def test_a_scaling_that_cant_be_exported(checkpoint: Path, scaling: object, said: str) -> None:
    change_config(checkpoint, rope_scaling=scaling)
    with pytest.raises(Glm4Error, match=said):
        resolve(str(checkpoint))


def test_what_a_template_leaves_out_is_said(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "chat_template.jinja").write_text(
        "[gMASK]<sop>{% for turn in messages %}<|{{ turn['role'] }}|>\n{{ turn['content'] }}{% endfor %}<|assistant|>"
    )
    _, told = exported(checkpoint, tmp_path / "out")
    assert told.notes == ["the chat template leaves out tools; --chat-template FILE gives another"]


@pytest.mark.parametrize(
    ("template", "said", "messages"),
    [
        (
            "{% for turn in messages %}{{ turn['tools'] }}<|{{ turn['role'] }}|>\n{{ turn['content'] }}{% endfor %}",
            "names of called tools",
            [
                *ask("Weather?"),
                {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {
                    "name": "get_weather", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "c", "content": "21"},
            ],
        ),
        (
            "{% for turn in messages %}{% if turn['role'] != 'assistant' or turn['metadata'] %}{{ turn['tools'] }}"
            "<|{{ turn['role'] }}|>{{ turn['metadata'] }}\n{{ turn['content'] }}{% endif %}{% endfor %}",
            "earlier replies",
            [*ask("5 + 6"), {"role": "assistant", "content": "11"}, *ask("And 7?")],
        ),
    ],
)  # fmt: skip
def test_a_history_that_a_template_would_garble_is_refused(
    checkpoint: Path, template: str, said: str, messages: list
) -> None:
    (checkpoint / "chat_template.jinja").write_text("[gMASK]<sop>" + template + "<|assistant|>")
    tokenizer = ChatTokenizer.from_directory(checkpoint)
    assert tokenizer.dropped == [said] and tokenizer.encode(ask("5 + 6"))
    with pytest.raises(Glm4Error, match=f"leaves out {said}"):
        tokenizer.encode(messages)


@pytest.mark.parametrize("stated", [5, [1], ["x"], [{"name": "default"}], [["a", "b"]], [{"name": [], "template": 5}]])
def test_templates_in_a_form_that_nobody_writes_are_none(checkpoint: Path, tmp_path: Path, stated: object) -> None:
    (checkpoint / "chat_template.jinja").unlink()
    change_json(checkpoint / "tokenizer_config.json", chat_template=stated)
    texts = tmp_path / "texts"
    texts.mkdir()
    assert not write_texts(resolve(str(checkpoint)), texts).chats


@pytest.mark.parametrize(
    "stated",
    [5, "x", [1], {"a": {"content": "x"}}, {"3": 5}, {"3": {}}, {"3071": {"content": 5}}, {"3071": {"content": ""}}],
)
def test_special_tokens_in_a_form_that_nobody_writes_are_told(tmp_path: Path, stated: object) -> None:
    chatglm = as_chatglm(CHECKPOINT, tmp_path / "chatglm")
    change_json(chatglm / "tokenizer_config.json", added_tokens_decoder=stated)
    (tmp_path / "texts").mkdir()
    with pytest.raises(Glm4Error, match="tokenizer_config.json has an added_tokens_decoder"):
        write_texts(resolve(str(chatglm)), tmp_path / "texts")
