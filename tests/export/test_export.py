"""Checkpoints go in whole or not at all, and nothing half done comes out."""

import json
import shutil
from pathlib import Path

import pytest

from conftest import ask
from forms import change_config, change_tensors, shard
from glm4_demos.nano import CHECKPOINT
from glm4_export.checkpoint import source
from glm4_export.making import MakeOptions, make
from glm4_export.openvino.maker import OpenVINOMaker
from glm4_intel import Glm4Error, load, model_directory
from glm4_quantize.recipes import RECIPES


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CHECKPOINT, tmp_path / "checkpoint"))


def test_the_ir_keeps_what_optimum_intel_writes_into_it(nano: Path) -> None:
    import openvino

    info = openvino.Core().read_model(nano / "openvino_model.xml").get_rt_info()
    assert info["runtime_options"]["ACTIVATIONS_SCALE_FACTOR"].value == "8.0"
    assert "KV_CACHE_PRECISION" not in info["runtime_options"]
    assert info["optimum"]["optimum_intel_version"].value
    assert info["nncf"]["weight_compression"]["mode"].value == "int4_sym"


def test_the_weights_are_those_of_optimum_intels_own_export(nano: Path, tmp_path: Path) -> None:
    from optimum.intel import OVModelForCausalLM, OVWeightQuantizationConfig

    quantization = OVWeightQuantizationConfig(bits=4, sym=True, group_size=128)
    OVModelForCausalLM.from_pretrained(CHECKPOINT, export=True, quantization_config=quantization).save_pretrained(
        tmp_path
    )
    assert (nano / "openvino_model.bin").read_bytes() == (tmp_path / "openvino_model.bin").read_bytes()


def test_openvino_genai_reads_the_directory_by_itself(nano: Path) -> None:
    import openvino_genai

    pipeline = openvino_genai.LLMPipeline(str(nano), "CPU")
    assert "42" in str(pipeline.generate("What is 17 + 25?", max_new_tokens=20, do_sample=False))


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "cpu"])
def test_every_recipe_answers(name: str, tmp_path: Path) -> None:
    recipe = RECIPES[name]
    out = make("nano", tmp_path / name, OpenVINOMaker(recipe=recipe))
    manifest = model_directory.read(out).manifest
    assert manifest is not None and manifest.recipe == json.loads(json.dumps(recipe.to_dict()))
    assert "42" in load(out).generate(ask("What is 17 + 25?"), temperature=0).text


def refused(checkpoint: Path | str, tmp_path: Path, said: str) -> None:
    with pytest.raises(Glm4Error, match=said):
        make(str(checkpoint), tmp_path / "out", OpenVINOMaker(recipe=RECIPES["cpu"]))
    assert not list(tmp_path.glob("out*"))


def test_a_missing_shard(checkpoint: Path, tmp_path: Path) -> None:
    shard(checkpoint)
    (checkpoint / "model-2.safetensors").unlink()
    refused(checkpoint, tmp_path, "lacks model-2.safetensors")
    (checkpoint / "model.safetensors.index.json").unlink()
    refused(checkpoint, tmp_path, "lacks model.safetensors")


@pytest.mark.parametrize("kept", [0, 5, 100, 14_000_000])
def test_a_shard_cut_short(checkpoint: Path, tmp_path: Path, kept: int) -> None:
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    refused(checkpoint, tmp_path, "is damaged|is cut short")


def test_what_is_no_checkpoint(nano: Path, checkpoint: Path, tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", tmp_path, "is no folder and no hub id")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", tmp_path, "has no config.json")
    refused(nano, tmp_path, "is a model directory already")
    (checkpoint / "config.json").write_text('{"model_type": "llama"}')
    refused(checkpoint, tmp_path, "has the architecture 'llama'")
    (checkpoint / "config.json").write_text("{")
    refused(checkpoint, tmp_path, "config.json can't be read")


def test_a_checkpoint_that_lacks_a_tensor(checkpoint: Path, tmp_path: Path) -> None:
    change_tensors(checkpoint, lambda tensors: tensors.pop("model.layers.3.mlp.down_proj.weight"))
    refused(checkpoint, tmp_path, "lacks model.layers.3.mlp.down_proj.weight")


def test_a_checkpoint_with_more_layers_than_its_config(checkpoint: Path, tmp_path: Path) -> None:
    change_config(checkpoint, num_hidden_layers=7)
    refused(checkpoint, tmp_path, "has model.layers.7.* which its config does not describe")


@pytest.mark.parametrize("change", [{"hidden_size": 384}, {"num_hidden_layers": 9}, {"hidden_size": "wide"}])
def test_a_config_that_is_not_the_checkpoints(checkpoint: Path, tmp_path: Path, change: dict) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | change))
    refused(checkpoint, tmp_path, "has hidden_size 'wide', not a number|in another shape")


def test_a_checkpoint_without_a_tokenizer(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "tokenizer.json").unlink()
    refused(checkpoint, tmp_path, "has no tokenizer.json")


def test_a_hub_id_without_network(tmp_path: Path) -> None:
    refused("THUDM/glm-4-9b-chat-hf", tmp_path, "THUDM/glm-4-9b-chat-hf can't be fetched")


def test_an_out_that_exists_is_replaced_only_by_force_and_only_what_an_export_made(nano: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(nano, tmp_path / "out"))
    (out / "mine.txt").write_text("keep me")
    with pytest.raises(Glm4Error, match="out exists"):
        make("nano", out, OpenVINOMaker(recipe=RECIPES["cpu"]))
    with pytest.raises(Glm4Error, match="holds mine.txt, which no export made"):
        make("nano", out, OpenVINOMaker(), MakeOptions(overwrite=True))
    assert (out / "mine.txt").read_text() == "keep me"
    (out / "mine.txt").unlink()
    (out / "README.md").write_text("an old card")
    make("nano", out, OpenVINOMaker(), MakeOptions(overwrite=True))
    assert model_directory.read(out).manifest and (out / "README.md").read_text() != "an old card"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_embedded_checkpoint_is_small_and_ordinary() -> None:
    assert sum(path.stat().st_size for path in CHECKPOINT.iterdir()) <= 16 << 20
    resolved = source.resolve("nano")
    assert resolved.config["architectures"] == ["GlmForCausalLM"]
    assert resolved.config["num_key_value_heads"] == 2 and resolved.config["partial_rotary_factor"] == 0.5
