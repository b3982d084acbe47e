"""Adapters as PEFT writes them are read, every tensor lands, and what is wrong is said in a line."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from adapter_forms import CHATGLM, CONFIG, LAYER, change_adapter, change_settings, lora_folder, prefix_folder
from glm4_intel.backends.adapters import named_adapters, product_shapes, read_adapter
from glm4_intel.errors import Glm4Error

_KEY = "base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight"


def test_every_product_of_the_glm_layout_is_read(tmp_path: Path) -> None:
    adapter = read_adapter(lora_folder(tmp_path / "a", LAYER), CONFIG)
    shapes = product_shapes(CONFIG)
    assert adapter.kind == "LoRA" and adapter.products.keys() == shapes.keys() - {"lm_head"}
    for name, change in adapter.products.items():
        assert change.delta().shape == shapes[name] and change.scale == 4


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_the_fused_projection_of_chatglm_is_split_by_rows(tmp_path: Path, heads: int) -> None:
    config = CONFIG | {"num_key_value_heads": heads}
    folder = lora_folder(tmp_path / "a", CHATGLM, config=config, chatglm=True)
    stored = load_file(folder / "adapter_model.safetensors")
    name = "base_model.model.transformer.encoder.layers.2.self_attention.query_key_value.lora_{}.weight"
    whole = (4 * stored[name.format("B")] @ stored[name.format("A")]).numpy()
    products = read_adapter(folder, config).products
    parts = [products[f"layers.2.self_attn.{part}_proj"].delta() for part in "qkv"]
    assert [len(part) for part in parts] == [256, 64 * heads, 64 * heads]
    assert np.allclose(np.concatenate(parts), whole, atol=1e-6)
    assert products["layers.7.mlp.gate_up_proj"].delta().shape == (1280, 256)


def test_ranks_and_alphas_by_pattern_and_rslora(tmp_path: Path) -> None:
    alphas = {r"layers\.0\..*q_proj": 8}
    folder = lora_folder(tmp_path / "a", ("q_proj", "down_proj"), rank_pattern={"down_proj": 2}, alpha_pattern=alphas)
    products = read_adapter(folder, CONFIG).products
    assert products["layers.1.mlp.down_proj"].down.shape == (2, 640) and products["layers.1.mlp.down_proj"].scale == 8
    assert products["layers.0.self_attn.q_proj"].scale == 2 and products["layers.1.self_attn.q_proj"].scale == 4
    change_settings(folder, use_rslora=True)
    assert math.isclose(read_adapter(folder, CONFIG).products["layers.1.mlp.down_proj"].scale, 16 / math.sqrt(2))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_halves_and_pytorchs_own_files(tmp_path: Path, kind: torch.dtype) -> None:
    folder = lora_folder(tmp_path / "a")
    file = folder / "adapter_model.safetensors"
    halves = {name: tensor.to(kind) for name, tensor in load_file(file).items()}
    save_file(halves, file)
    first = read_adapter(folder, CONFIG).products["layers.3.self_attn.q_proj"].down
    assert np.array_equal(first, halves[_KEY].float().numpy())
    file.unlink()
    torch.save(halves, folder / "adapter_model.bin")
    assert np.array_equal(read_adapter(folder, CONFIG).products["layers.3.self_attn.q_proj"].down, first)


def test_a_pickle_that_runs_code_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    folder = lora_folder(tmp_path / "a")
    (folder / "adapter_model.safetensors").unlink()
    torch.save({"x": Evil()}, folder / "adapter_model.bin")
    with pytest.raises(Glm4Error, match="can't be read"):
        read_adapter(folder, CONFIG)
    assert not (tmp_path / "ran").exists()


def test_a_bias_of_the_head_has_the_heads_name(tmp_path: Path) -> None:
    folder, bias = lora_folder(tmp_path / "a"), np.ones(CONFIG["vocab_size"], np.float32)
    change_adapter(folder, lambda tensors: tensors.update({"base_model.model.lm_head.base_layer.bias": bias}))
    assert read_adapter(folder, CONFIG).replaced.keys() == {"lm_head.bias"}


def test_dora_biases_and_saved_modules(tmp_path: Path) -> None:
    folder = lora_folder(tmp_path / "a", ("v_proj",), use_dora=True)

    def add(tensors: dict[str, np.ndarray]) -> None:
        for number in range(8):
            start = f"base_model.model.model.layers.{number}.self_attn.v_proj"
            tensors[f"{start}.lora_magnitude_vector"] = np.ones((128, 1), np.float32)
            tensors[f"{start}.base_layer.bias"] = np.zeros(128, np.float32)
        tensors["base_model.model.lm_head.weight"] = np.zeros((3072, 256), np.float32)

    change_adapter(folder, add)
    adapter = read_adapter(folder, CONFIG)
    magnitude = adapter.products["layers.0.self_attn.v_proj"].magnitude
    assert adapter.kind == "DoRA" and magnitude is not None and magnitude.shape == (128,)
    assert {"lm_head.weight", "model.layers.0.self_attn.v_proj.bias"} < adapter.replaced.keys()


@pytest.mark.parametrize(
    ("base", "from_zero"),
    [("THUDM/glm-4-9b-chat", True), ("THUDM/glm-4-9b-chat-hf", False), ("THUDM/GLM-4-9B-0414", False)],
)
def test_p_tuning(tmp_path: Path, base: str, from_zero: bool) -> None:
    folder = prefix_folder(tmp_path / "p", base=base)
    prefix = read_adapter(folder, CONFIG).prefix
    assert prefix is not None and prefix.values.shape == (8, 2, 24, 2, 64) and prefix.from_zero == from_zero
    table = load_file(folder / "adapter_model.safetensors")["prompt_embeddings"].numpy()
    assert np.array_equal(prefix.values[5, 1, 7].reshape(-1), table[7].reshape(16, 128)[11])


def _without(*names: str) -> Any:
    def change(folder: Path) -> None:
        change_adapter(folder, lambda tensors: [tensors.pop(name) for name in names])

    return change


def _adding(name: str, shape: tuple[int, ...]) -> Any:
    def change(folder: Path) -> None:
        change_adapter(folder, lambda tensors: tensors.update({name: np.zeros(shape, np.float32)}))

    return change


def _truncated(folder: Path) -> None:
    file = folder / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def _settings(**changes: Any) -> Any:
    return lambda folder: change_settings(folder, **changes)


_OF_LLAMA = ["base_model.model.model.layers.0.mlp.gate_proj.lora_A.weight",
             "base_model.model.model.layers.0.mlp.gate_proj.lora_B.weight"]  # fmt: skip


def _of_llama(folder: Path) -> None:
    for name, shape in zip(_OF_LLAMA, ((4, 256), (640, 4)), strict=True):
        _adding(name, shape)(folder)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_without(_KEY), "lacks model.layers.3.self_attn.q_proj.lora_A.weight"),
        (_without(_KEY, _KEY.replace("_A", "_B")), "lacks model.layers.3.self_attn.q_proj.lora_A.weight"),
        (_truncated, "is cut short"),
        (_settings(r=8), "has the rank 4, and its adapter_config.json says 8"),
        (_settings(r="x"), "has r 'x'"),
        (_adding(_KEY, (4, 512)), r"is \[4, 512\], and this model's is \[4, 256\]"),
        (_of_llama, "changes model.layers.0.mlp.gate_proj, which is nothing of a GLM-4's"),
        (_adding("base_model.model.score.weight", (2, 256)), "changes score.weight, which is nothing"),
        (_settings(peft_type="IA3"), "of the kind 'IA3'"),
        (_settings(init_lora_weights="pissa_niter_4"), "was trained with init_lora_weights 'pissa_niter_4'"),
        (_settings(layer_replication=[[0, 4], [2, 5]]), "was trained with layer_replication"),
        (_settings(rank_pattern={"(": 2}), "has a pattern that is none"),
        (_settings(use_dora=True), "lacks model.layers.0.self_attn.q_proj.lora_magnitude_vector"),
        (lambda folder: (folder / "adapter_config.json").unlink(), "is no adapter"),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), "lacks adapter_model.safetensors"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(tmp_path: Path, damage: Any, said: str) -> None:
    folder = lora_folder(tmp_path / "a")
    damage(folder)
    with pytest.raises(Glm4Error, match=said) as caught:
        read_adapter(folder, CONFIG)
    assert "\n" not in str(caught.value) and caught.value.hint


def test_a_base_with_other_layers_or_widths_is_said(tmp_path: Path) -> None:
    folder = lora_folder(tmp_path / "a", base_model_name_or_path="THUDM/glm-4-9b-chat-hf")
    with pytest.raises(Glm4Error, match=r"this model has 4 layers \(its base: THUDM/glm-4-9b-chat-hf\)"):
        read_adapter(folder, CONFIG | {"num_hidden_layers": 4})
    with pytest.raises(Glm4Error, match=r"lacks model.layers.8"):
        read_adapter(folder, CONFIG | {"num_hidden_layers": 16})
    with pytest.raises(Glm4Error, match="its base: THUDM"):
        read_adapter(folder, CONFIG | {"hidden_size": 512})
    with pytest.raises(Glm4Error, match="prompt_embeddings"):
        read_adapter(prefix_folder(tmp_path / "p"), CONFIG | {"num_key_value_heads": 4})
    with pytest.raises(Glm4Error, match="where a prompt's positions begin"):
        read_adapter(prefix_folder(tmp_path / "q", base="my-sft"), CONFIG)


def test_adapters_are_named() -> None:
    assert named_adapters(["x=some/dir", "other/y"]) == {"x": Path("some/dir"), "y": Path("other/y")}
    with pytest.raises(Glm4Error, match="Two adapters are called y"):
        named_adapters(["y=a", "b/y"])
    with pytest.raises(Glm4Error, match="names no adapter"):
        named_adapters(["=a"])
