"""Every layout of a GLM-4 checkpoint becomes the same model, and none of its code is run."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from conftest import ask
from forms import as_chatglm, as_pytorch, change_config, change_tensors, random_checkpoint, read_config, shard
from glm4_demos.nano import CHECKPOINT
from glm4_export.checkpoint.layouts import ROPE_THETA
from glm4_export.checkpoint.source import resolve
from glm4_export.checkpoint.tokenizer import write_texts
from glm4_export.checkpoint.weights import load
from glm4_export.making import make
from glm4_export.openvino.maker import OpenVINOMaker
from glm4_intel import Glm4Error, Runtime, model_directory
from glm4_intel import load as load_runtime
from glm4_intel.chat.tokenizer import ChatTokenizer
from glm4_quantize.recipes import RECIPES


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CHECKPOINT, tmp_path / "checkpoint"))


@pytest.fixture
def chatglm(tmp_path: Path) -> Path:
    return as_chatglm(CHECKPOINT, tmp_path / "chatglm")


def logits(path: Path) -> torch.Tensor:
    with torch.inference_mode():
        return load(resolve(str(path)))[0](torch.tensor([[1, 17, 256, 1024, 3, 3000]])).logits


def test_chatglm_has_the_logits_of_the_same_weights_in_glm_layout(chatglm: Path) -> None:
    assert torch.equal(logits(chatglm), logits(CHECKPOINT))


def test_chatglm_takes_four_kv_heads_and_the_rope_ratio_of_1m(tmp_path: Path) -> None:
    glm = random_checkpoint(CHECKPOINT, tmp_path / "glm", num_key_value_heads=4, rope_theta=1e8)
    chatglm = as_chatglm(glm, tmp_path / "chatglm")
    assert read_config(chatglm)["rope_ratio"] == 10000
    assert torch.equal(logits(chatglm), logits(glm))


def test_tensors_stay_in_their_file(chatglm: Path) -> None:
    """A fused projection is cut into views, so that 18.8 GB of weights take no memory."""
    model, files = load(resolve(str(chatglm)))
    attention = model.model.layers[0].self_attn
    storages = {part.weight.untyped_storage().data_ptr() for part in (attention.q_proj, attention.k_proj)}
    assert len(storages) == 1
    weight = model.model.layers[0].mlp.down_proj.weight
    read = files.read(weight.data_ptr() + 512, 2048)
    assert read is not None and bytes(read) == weight.view(torch.uint8).numpy().tobytes()[512 : 512 + 2048]
    assert files.read(weight.data_ptr() - (1 << 40), 16) is None
    files.close()


@pytest.mark.parametrize("text", ["世界! It's 12345 \t\tand\n\n newlines  ", "def f(x):\n    return x", "Ünïcødé 🙂"])
def test_a_tiktoken_vocabulary_becomes_the_same_tokenizer(chatglm: Path, tmp_path: Path, text: str) -> None:
    out = tmp_path / "texts"
    out.mkdir()
    prompt, original = write_texts(resolve(str(chatglm)), out), ChatTokenizer.from_directory(CHECKPOINT)
    assert prompt.encode_text(text) == original.encode_text(text)
    assert prompt.encode(ask(text)) == original.encode(ask(text))
    assert prompt.stop_ids == original.stop_ids and prompt.chats


def test_chatglm_exports_and_answers(chatglm: Path, tmp_path: Path, glm: Runtime) -> None:
    out = make(str(chatglm), tmp_path / "out", OpenVINOMaker(recipe=RECIPES["cpu"]))
    question = ask("What is 17 + 25?")
    expected = glm.generate(question, temperature=0).token_ids
    assert load_runtime(out).generate(question, temperature=0).token_ids == expected
    manifest = model_directory.read(out).manifest
    assert manifest is not None and manifest.architecture == "GlmForCausalLM"


def test_code_in_a_checkpoint_is_not_run(chatglm: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    for name in ("modeling_chatglm.py", "configuration_chatglm.py", "tokenization_chatglm.py"):
        (chatglm / name).write_text(f"open({str(ran)!r}, 'w')\n")
    make(str(chatglm), tmp_path / "out", OpenVINOMaker(recipe=RECIPES["none"]))
    assert not ran.exists()


@pytest.mark.parametrize("layout", ["glm", "glm4"])
def test_greedy_ids_are_those_of_transformers(layout: str, tmp_path: Path) -> None:
    greedy_ids_agree(random_checkpoint(CHECKPOINT, tmp_path / layout, layout), tmp_path / "out")


def greedy_ids_agree(checkpoint: Path, out: Path) -> None:
    """48 greedy ids of the export against transformers in f32; random weights have near ties everywhere."""
    make(str(checkpoint), out, OpenVINOMaker(recipe=RECIPES["none"]))
    runtime, model = load_runtime(out, profile="accurate"), load(resolve(str(checkpoint)))[0].float()
    ids = runtime.tokenizer.encode(ask("你好，请介绍一下你自己。"))
    written = model.generate(torch.tensor([ids]), max_new_tokens=48, min_new_tokens=48, do_sample=False)
    reply = runtime.generate(ask("你好，请介绍一下你自己。"), temperature=0, max_new_tokens=48, ignore_eos=True)
    assert list(reply.token_ids) == written[0, len(ids) :].tolist()


def test_sharded_and_pytorch_files_hold_the_same(checkpoint: Path, tmp_path: Path) -> None:
    expected = logits(CHECKPOINT)
    pytorch = Path(shutil.copytree(checkpoint, tmp_path / "pytorch"))
    as_pytorch(pytorch)
    shard(checkpoint)
    assert torch.equal(logits(checkpoint), expected) and torch.equal(logits(pytorch), expected)


def test_a_pickle_that_would_run_code_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Trap:
        def __reduce__(self) -> tuple:
            return (Path.touch, (ran,))

    (checkpoint / "model.safetensors").unlink()
    torch.save({"weight": Trap()}, checkpoint / "pytorch_model.bin")
    with pytest.raises(Glm4Error, match="pytorch_model.bin can't be read"):
        load(resolve(str(checkpoint)))
    assert not ran.exists()


@pytest.mark.parametrize(("name", "theta"), ROPE_THETA.items())
def test_a_config_that_lost_its_rope_ratio_stops_the_export(checkpoint: Path, name: str, theta: float) -> None:
    wrong = 10000.0 if theta != 10000.0 else 5e6
    change_config(checkpoint, rope_theta=wrong, _name_or_path=f"THUDM/{name}")
    with pytest.raises(Glm4Error, match=re.escape(f"the original of {name} has {theta:g}")) as raised:
        resolve(str(checkpoint))
    assert f"--rope-theta {theta:.0f}" in raised.value.hint
    assert resolve(str(checkpoint), theta=theta).config["rope_theta"] == theta
    change_config(checkpoint, rope_theta=theta)
    assert resolve(str(checkpoint)).config["rope_theta"] == theta


def test_a_9b_of_unknown_name_is_known_by_its_context(checkpoint: Path) -> None:
    size = {"hidden_size": 4096, "num_hidden_layers": 40, "vocab_size": 151552, "max_position_embeddings": 131072}
    change_config(checkpoint, **size, rope_theta=10000.0)
    with pytest.raises(Glm4Error, match="glm-4-9b-chat-hf has 5e\\+06"):
        resolve(str(checkpoint))


def test_rope_theta_given_by_hand_is_what_is_computed_with(checkpoint: Path) -> None:
    changed, _ = load(resolve(str(checkpoint), theta=5e6))
    assert changed.config.rope_parameters["rope_theta"] == 5e6
    ids = torch.tensor([[1, 17, 256, 1024, 3, 3000]])
    with torch.inference_mode():
        assert not torch.equal(changed(ids).logits, logits(CHECKPOINT))


def test_a_base_model_completes(checkpoint: Path, tmp_path: Path) -> None:
    change_config(checkpoint, _name_or_path="THUDM/glm-4-9b-hf")
    (checkpoint / "chat_template.jinja").unlink()
    out = make(str(checkpoint), tmp_path / "out", OpenVINOMaker(recipe=RECIPES["cpu"]))
    manifest = model_directory.read(out).manifest
    assert manifest is not None and not manifest.chats and not (out / "chat_template.jinja").exists()
    assert "completes text" in (out / "README.md").read_text()
    runtime = load_runtime(out)
    prompt = runtime.tokenizer
    prefix = [prompt.special_id("[gMASK]"), prompt.special_id("<sop>")]
    assert prompt.encode(ask("Once")) == [*prefix, *prompt.encode_text("Once")]
    assert runtime.generate(ask("Once upon a time"), max_new_tokens=4, ignore_eos=True).usage.completion_tokens == 4
    with pytest.raises(Glm4Error, match="This is a base model"):
        runtime.generate([{"role": "system", "content": "Be kind."}, *ask("Once")])


def test_a_chat_model_without_its_template_is_not_taken_for_a_base_model(checkpoint: Path, tmp_path: Path) -> None:
    change_config(checkpoint, _name_or_path="THUDM/glm-4-9b-chat-hf", rope_theta=5e6)
    (checkpoint / "chat_template.jinja").unlink()
    with pytest.raises(Glm4Error, match="is a chat model and has no chat template"):
        make(str(checkpoint), tmp_path / "out", OpenVINOMaker())


def test_another_models_tokenizer(checkpoint: Path, tmp_path: Path) -> None:
    change_config(checkpoint, eos_token_id=[1, 2], pad_token_id=1)
    with pytest.raises(Glm4Error, match="is another model's: its replies end with"):
        make(str(checkpoint), tmp_path / "out", OpenVINOMaker())
    change_config(checkpoint, eos_token_id=[3058, 3065, 3067], vocab_size=3000)
    with pytest.raises(Glm4Error, match="has ids up to 3,071, and the vocabulary 3,000 rows"):
        make(str(checkpoint), tmp_path / "out", OpenVINOMaker())
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:20000]), "is cut short|its vocabulary ends at|is not a tikt"),
        (lambda path: path.write_bytes(b""), "is cut short"),
        (lambda path: path.write_bytes(b"\xff\xfe no\n"), "is not a tiktoken vocabulary"),
        (lambda path: path.unlink(), "has no tokenizer.model"),
    ],
)
def test_a_damaged_tiktoken_vocabulary(chatglm: Path, tmp_path: Path, spoil: object, said: str) -> None:
    spoil(chatglm / "tokenizer.model")  # type: ignore[operator]
    with pytest.raises(Glm4Error, match=said):
        make(str(chatglm), tmp_path / "out", OpenVINOMaker())


def test_a_chatglm_config_that_lacks_a_field(chatglm: Path) -> None:
    config = read_config(chatglm)
    del config["ffn_hidden_size"]
    (chatglm / "config.json").write_text(json.dumps(config))
    with pytest.raises(Glm4Error, match="has no 'ffn_hidden_size'"):
        resolve(str(chatglm))


def test_chatglm3_is_not_glm4(chatglm: Path) -> None:
    change_config(chatglm, original_rope=False)
    with pytest.raises(Glm4Error, match="older than GLM-4"):
        resolve(str(chatglm))


@pytest.mark.parametrize("layer", ["model.layers.3.mlp.down_proj.weight", "model.norm.weight", "lm_head.weight"])
@pytest.mark.parametrize("recipe", ["cpu", "none"])
def test_a_weight_with_nan(checkpoint: Path, tmp_path: Path, layer: str, recipe: str) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors[layer].view(-1)[100] = float("nan")

    change_tensors(checkpoint, spoil)
    with pytest.raises(Glm4Error, match="NaN or infinit"):
        make(str(checkpoint), tmp_path / "out", OpenVINOMaker(recipe=RECIPES[recipe]))
    assert not list(tmp_path.glob("out*"))
