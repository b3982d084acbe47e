"""Adapters merged at export: the weights that PEFT's own merge gives, before anything is compressed."""

import gc
import importlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from adapter_forms import CHATGLM, LAYER, QKV, change_adapter, lora_folder, prefix_folder
from forms import as_chatglm, random_checkpoint, read_config
from glm4_demos.nano import CHECKPOINT
from glm4_export.checkpoint.adapters import merged_bytes, parse_merging, read_mergings
from glm4_export.checkpoint.merge import merge
from glm4_export.checkpoint.source import resolve
from glm4_export.checkpoint.weights import load
from glm4_export.making import MakeOptions, make
from glm4_export.openvino.maker import OpenVINOMaker
from glm4_intel import cli
from glm4_intel.errors import Glm4Error
from glm4_intel.model_directory import read_manifest
from glm4_quantize.recipes import RECIPES


def merged(checkpoint: Path, scratch: Path, *given: tuple[Path, float]) -> dict[str, torch.Tensor]:
    resolved = resolve(str(checkpoint))
    model, files = load(resolved)
    merge(model, read_mergings(given, resolved.config), scratch, lambda size: None)
    files.close()
    return dict(model.state_dict())


def test_low_rank_changes_are_added_and_rounded_once(tmp_path: Path) -> None:
    first, second = lora_folder(tmp_path / "a", LAYER), lora_folder(tmp_path / "b", ("q_proj",), seed=1)
    found = merged(CHECKPOINT, tmp_path, (first, 1.0), (second, -0.5))
    weights, tensors = load_file(CHECKPOINT / "model.safetensors"), load_file(first / "adapter_model.safetensors")
    others = load_file(second / "adapter_model.safetensors")
    name, other = "model.layers.4.mlp.down_proj", "model.layers.4.self_attn.q_proj"
    expected = weights[f"{name}.weight"].float() + 4 * _product(tensors, name)
    assert torch.equal(found[f"{name}.weight"], expected.bfloat16())
    changed = sum(tensor.nbytes for each, tensor in weights.items() if not torch.equal(found[each], tensor))
    checkpoint = resolve(str(CHECKPOINT))
    mergings = read_mergings([(first, 1.0), (second, -0.5)], checkpoint.config)
    assert merged_bytes(mergings, checkpoint) == pytest.approx(changed, rel=0.01)
    both = weights[f"{other}.weight"].float() + 4 * _product(tensors, other) - 2 * _product(others, other)
    assert torch.allclose(found[f"{other}.weight"].float(), both, rtol=2**-8)
    assert torch.equal(found["lm_head.weight"], weights["lm_head.weight"])
    assert not list(tmp_path.glob("merged.*"))


def _product(tensors: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    up, down = (tensors[f"base_model.model.{name}.lora_{kind}.weight"] for kind in "BA")
    return up @ down


@pytest.mark.parametrize("heads", [2, 4])
def test_a_chatglm_adapter_on_a_chatglm_checkpoint(tmp_path: Path, heads: int) -> None:
    glm = random_checkpoint(CHECKPOINT, tmp_path / "glm", num_key_value_heads=heads)
    chatglm, config = as_chatglm(glm, tmp_path / "chatglm"), read_config(glm)
    folder = lora_folder(tmp_path / "a", CHATGLM, config=config, chatglm=True)
    found = merged(chatglm, tmp_path, (folder, 1.0))
    fused = load_file(chatglm / "model.safetensors")[
        "transformer.encoder.layers.1.self_attention.query_key_value.weight"
    ]
    change = 4 * _product(
        load_file(folder / "adapter_model.safetensors"), "transformer.encoder.layers.1.self_attention.query_key_value"
    )
    parts = torch.cat([found[f"model.layers.1.self_attn.{part}_proj.weight"] for part in "qkv"])
    assert torch.allclose(parts.float(), fused.float() + change, rtol=2**-8, atol=1e-6)


def test_dora_and_biases_without_peft(tmp_path: Path) -> None:
    folder = lora_folder(tmp_path / "a", ("v_proj",), use_dora=True)
    weights = load_file(CHECKPOINT / "model.safetensors")
    name = "model.layers.3.self_attn.v_proj"

    def add(tensors: dict[str, np.ndarray]) -> None:
        for number in range(8):
            start = f"base_model.model.model.layers.{number}.self_attn.v_proj"
            tensors[f"{start}.lora_magnitude_vector"] = np.full(128, 2, np.float32)
            tensors[f"{start}.lora_B.bias"] = np.full(128, 0.25, np.float32)

    change_adapter(folder, add)
    found = merged(CHECKPOINT, tmp_path, (folder, 1.0))
    lengths = found[f"{name}.weight"].float().norm(dim=1)
    assert torch.allclose(lengths, torch.full((128,), 2.0), rtol=2**-8)
    assert torch.equal(found[f"{name}.bias"], (weights[f"{name}.bias"].float() + 4 * 0.25).bfloat16())


@pytest.fixture
def peft() -> Iterator[Any]:
    yield pytest.importorskip("peft")
    importlib.invalidate_caches()


@pytest.mark.parametrize(
    "settings",
    [{}, {"use_rslora": True}, {"use_dora": True}, {"rank_pattern": {"down_proj": 2}, "alpha_pattern": {"q_proj": 32}},
     {"fan_in_fan_out": True}, {"bias": "all"}, {"lora_bias": True}, {"modules_to_save": ["lm_head"]}],
    ids=lambda settings: ",".join(settings) or "plain",
)  # fmt: skip
def test_the_weights_are_those_of_pefts_own_merge(tmp_path: Path, peft: Any, settings: dict[str, Any]) -> None:
    from transformers import GlmForCausalLM

    torch.manual_seed(0)
    base = GlmForCausalLM.from_pretrained(CHECKPOINT, dtype=torch.float32)
    targets = list(QKV if "lora_bias" in settings else LAYER)  # the others have no bias to add to
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=16, target_modules=targets, **settings)
    model = peft.get_peft_model(base, config)
    for name, each in model.named_parameters():
        if each.requires_grad and "magnitude" not in name:
            each.data.add_(0.05 * torch.randn_like(each))
    model.save_pretrained(tmp_path / "a")
    expected = model.merge_and_unload().state_dict()
    checkpoint = Path(shutil.copytree(CHECKPOINT, tmp_path / "f32"))
    plain = GlmForCausalLM.from_pretrained(CHECKPOINT, dtype=torch.float32)
    plain.save_pretrained(checkpoint)
    shutil.copyfile(CHECKPOINT / "config.json", checkpoint / "config.json")
    found = merged(checkpoint, tmp_path, (tmp_path / "a", 1.0))
    for name, tensor in expected.items():
        assert torch.allclose(found[name], tensor, atol=1e-5), name


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says what is mapped")
def test_files_stay_mapped_while_weights_are_found_by_address(tmp_path: Path) -> None:
    """When merging has replaced all tensors of a file, something else's memory must not take its addresses."""
    checkpoint = Path(shutil.copytree(CHECKPOINT, tmp_path / "nano"))
    model, files = load(resolve(str(checkpoint)))
    weight = model.model.layers[0].mlp.down_proj.weight
    address, size, expected = weight.data_ptr(), weight.nbytes, weight.detach().view(torch.uint8).flatten().clone()
    del model, weight
    gc.collect()
    assert str(checkpoint) in Path("/proc/self/maps").read_text()
    found = files.read(address, size)
    assert found is not None and torch.equal(torch.from_numpy(found.copy()), expected)
    files.close()
    assert files.read(address, size) is None and str(checkpoint) not in Path("/proc/self/maps").read_text()


def test_an_export_names_its_adapters(tmp_path: Path, nano: Path) -> None:
    folder = lora_folder(tmp_path / "pirate", base_model_name_or_path="THUDM/glm-4-9b-chat-hf")
    options = MakeOptions(adapters=((folder, 0.5),))
    out = make("nano", tmp_path / "out", OpenVINOMaker(recipe=RECIPES["cpu"]), options)
    manifest = read_manifest(out)
    assert manifest and [(each["name"], each["scale"]) for each in manifest.adapters] == [("pirate", 0.5)]
    assert "- `pirate` (LoRA of THUDM/glm-4-9b-chat-hf), times 0.5" in (out / "README.md").read_text()
    fingerprint = (manifest.verification or {})["fingerprint"]
    other = read_manifest(nano)
    assert other and not other.adapters and (other.verification or {})["fingerprint"] != fingerprint
    assert "Adapters merged" not in (nano / "README.md").read_text()


def test_what_cant_be_merged_is_said_before_any_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prefix, wrong = prefix_folder(tmp_path / "p"), lora_folder(tmp_path / "w")
    change_adapter(wrong, lambda tensors: tensors.pop(next(iter(tensors))))
    for folder, said in ((prefix, "is P-Tuning v2"), (wrong, "lacks model.layers.0"), (tmp_path, "is no adapter")):
        status = cli.main(["export", "nano", str(tmp_path / "out"), "--adapter", f"{folder}:0.5", "--dry-run"])
        assert status == 1 and said in capsys.readouterr().err
    with pytest.raises(Glm4Error, match="replaces whole tensors"):
        change_adapter(
            lora_folder(tmp_path / "h"),
            lambda tensors: tensors.update({"base_model.model.lm_head.weight": np.zeros((3072, 256), np.float32)}),
        )
        read_mergings([(tmp_path / "h", 0.5)], read_config(CHECKPOINT))


def test_folders_and_scales() -> None:
    assert parse_merging("a/b") == (Path("a/b"), 1.0) and parse_merging("a/b:0.5") == (Path("a/b"), 0.5)
    assert parse_merging("C:\\x") == (Path("C:\\x"), 1.0)
    with pytest.raises(Glm4Error, match="no number"):
        parse_merging("a:b")
