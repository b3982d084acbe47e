"""The int8 way for prompts against the same arithmetic in PyTorch, and against the model without it."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch
from openvino import Model
from transformers import PreTrainedModel

import glm4_intel
from conftest import ask
from forms import random_checkpoint
from glm4_demos.nano import CHECKPOINT
from glm4_export.checkpoint.source import Checkpoint, resolve
from glm4_export.checkpoint.weights import load
from glm4_export.making import make
from glm4_export.openvino import convert
from glm4_export.openvino.maker import OpenVINOMaker
from glm4_intel import Glm4Error, Runtime, model_directory
from glm4_intel.backends.openvino_ir import model_inputs, next_logits
from glm4_intel.chat.tokenizer import ChatTokenizer
from glm4_intel.commands.doctor import _recipe
from glm4_intel.devices import Device, footprint, properties
from glm4_quantize.int8_prefill import TOKENS, Int8Weight, add_int8_prefill, int8_weights, weights
from glm4_quantize.recipes import RECIPES, Recipe

IDS = [int(each) for each in np.random.default_rng(0).integers(5, 3000, 3 * TOKENS)]
TEXT = "Read the text.\n\n" + "Nobody spoke for a long while. " * 12 + "Mira lives in Oslo.\n\nWhere does Mira live?"


@pytest.fixture(scope="module", params=["nano", "glm4"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """The nano model, and random weights with the four norms a layer of 0414."""
    if request.param == "nano":
        return resolve("nano")
    folder = tmp_path_factory.mktemp("glm4") / "checkpoint"
    return resolve(str(random_checkpoint(CHECKPOINT, folder, "glm4", intermediate_size=640)))


@pytest.fixture(scope="module")
def int8(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Model, dict]]:
    """The converted model, not compressed, and its int8 weights."""
    weights_in_memory = load(checkpoint)[0]
    model, _ = convert.convert(weights_in_memory)
    with int8_weights(model, tmp_path_factory.mktemp("scratch")) as found:
        yield model, found


@pytest.fixture(scope="module")
def prefill_glm(prefill_nano: Path) -> Iterator[Runtime]:
    with glm4_intel.load(prefill_nano) as runtime:
        yield runtime


def logits(model: Model | Path, ids: list[int], at_once: int | None = None) -> torch.Tensor:
    compiled = openvino.Core().compile_model(model, "CPU", properties("CPU", "accurate"))
    return torch.from_numpy(next_logits(compiled.create_infer_request(), ids, at_once))


def in_pytorch(checkpoint: Checkpoint, found: dict[str, Int8Weight], tokens: int = 0) -> PreTrainedModel:
    """The checkpoint whose products, in passes of more tokens, are of int8 weights and int8 activations by token."""
    model = load(checkpoint)[0].float()
    for name, weight in found.items():
        linear = model.model.get_submodule(name)
        values = torch.from_numpy(np.concatenate(weight.parts, axis=1)).float() * torch.from_numpy(weight.scale)
        linear.forward = partial(_either_way, linear.forward, values, linear.bias, tokens)
    return model


def _either_way(
    plain: Callable, values: torch.Tensor, bias: torch.Tensor | None, tokens: int, given: torch.Tensor
) -> torch.Tensor:
    if given.shape[1] <= tokens:
        return plain(given)
    unit = given.abs().amax(-1, keepdim=True) / 127
    return torch.nn.functional.linear((given / unit).round() * unit, values, bias)


def torch_logits(model: PreTrainedModel, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0]


@pytest.mark.parametrize("product", ["q_proj", "k_proj", "v_proj", "o_proj", "gate_up_proj"])
def test_the_arithmetic_of_a_product_is_that_of_pytorch(
    checkpoint: Checkpoint, int8: tuple[Model, dict], product: str
) -> None:
    """Of the first tokens: a value halfway between two levels may go either way, which later ones then see."""
    model, found = int8
    some = {name: weight for name, weight in found.items() if name.endswith(product)}
    both = model.clone()
    add_int8_prefill(both, model, some, tokens=0)
    ours, right = logits(both, IDS)[:8], torch_logits(in_pytorch(checkpoint, some), IDS)[:8]
    assert (ours - right).abs().amax(-1).median() < 1e-3 < (logits(model, IDS)[:8] - right).abs().amax(-1).median()


def test_the_arithmetic_of_all_is_that_of_pytorch(checkpoint: Checkpoint, int8: tuple[Model, dict]) -> None:
    model, found = int8
    both = model.clone()
    layers = checkpoint.config["num_hidden_layers"]
    assert add_int8_prefill(both, model, found, tokens=0) == layers + 1 and len(found) == 6 * layers
    ours, right = logits(both, IDS), torch_logits(in_pytorch(checkpoint, found), IDS)
    assert (ours.argmax(-1) == right.argmax(-1)).float().mean() > 0.95
    assert (ours - right).abs().mean() < 0.02 * right.std()


def test_greedy_replies_are_those_of_pytorch(int8: tuple[Model, dict], checkpoint: Checkpoint) -> None:
    """The prompt in int8, and every token after it in the weights that the model has."""
    model, found = int8
    both = model.clone()
    add_int8_prefill(both, model, found)
    tokenizer = ChatTokenizer.from_directory(CHECKPOINT)
    prompt, right = tokenizer.encode(ask(TEXT)), in_pytorch(checkpoint, found, TOKENS)
    assert len(prompt) > TOKENS
    with torch.inference_mode():
        expected = right.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False, pad_token_id=0)[0]
    request = openvino.Core().compile_model(both, "CPU", properties("CPU", "accurate")).create_infer_request()
    found_ids = [int(next_logits(request, prompt)[-1].argmax())]
    while len(found_ids) < len(expected) - len(prompt):
        past = len(prompt) + len(found_ids) - 1
        found_ids.append(int(request.infer(model_inputs(found_ids[-1:], past))["logits"][0, -1].argmax()))
    assert found_ids == expected[len(prompt) :].tolist()


def test_few_tokens_take_the_way_they_had(int8: tuple[Model, dict]) -> None:
    model, found = int8
    both = model.clone()
    add_int8_prefill(both, model, found)
    assert torch.equal(logits(both, IDS[:TOKENS]), logits(model, IDS[:TOKENS]))
    assert torch.equal(logits(both, IDS, TOKENS), logits(model, IDS, TOKENS))
    assert not torch.equal(logits(both, IDS[: TOKENS + 1]), logits(model, IDS[: TOKENS + 1]))


@pytest.mark.parametrize("left", ["mlp.gate_up_proj", "mlp.down_proj", "self_attn.o_proj"])
def test_a_product_can_be_left_in_one_way(int8: tuple[Model, dict], checkpoint: Checkpoint, left: str) -> None:
    model, found = int8
    some = {name: weight for name, weight in found.items() if not name.endswith(left)}
    both = model.clone()
    add_int8_prefill(both, model, some, tokens=0)
    right = torch_logits(in_pytorch(checkpoint, some), IDS)
    assert (logits(both, IDS) - right).abs().mean() < 0.02 * right.std()


def test_long_rows_are_multiplied_in_two_halves(
    int8: tuple[Model, dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, found = int8
    whole, halves = model.clone(), model.clone()
    add_int8_prefill(whole, model, found, tokens=0)
    monkeypatch.setattr(weights, "_LONG_ROW", 300)
    with int8_weights(model, tmp_path) as cut:
        assert {name.rpartition(".")[2]: len(weight.parts) for name, weight in cut.items()}["down_proj"] == 2
        add_int8_prefill(halves, model, cut, tokens=0)
        assert (logits(whole, IDS) - logits(halves, IDS)).abs().mean() < 0.01 * logits(whole, IDS).std()
    assert not list(tmp_path.iterdir())


def test_prompts_are_nearer_to_the_checkpoint_than_in_int4(prefill_nano: Path) -> None:
    manifest = model_directory.read(prefill_nano).manifest
    assert manifest is not None and manifest.verification is not None and manifest.targets == ["CPU"]
    found = manifest.verification
    assert found["fidelity_int8_prefill"]["kl_divergence"] < found["fidelity"]["kl_divergence"] + 0.002
    assert found["fingerprint"]["layers"] == 2 and len(found["fingerprint"]["ids"]) > TOKENS


def test_a_long_prompt_and_a_short_one_are_answered(prefill_glm: Runtime) -> None:
    assert len(prefill_glm.tokenizer.encode(ask(TEXT))) > TOKENS
    assert "Oslo" in prefill_glm.generate(ask(TEXT), temperature=0).text
    assert prefill_glm.generate(ask("What is 17 + 25?"), temperature=0).text.endswith("42")


def test_a_token_reads_what_it_would_read_without_it(prefill_nano: Path, nano: Path) -> None:
    both, one = (footprint.one_way_bytes(model_directory.read(each)) for each in (prefill_nano, nano))
    assert both == pytest.approx(one, rel=0.02) and footprint.weights_bytes(prefill_nano) > 1.5 * one


@pytest.mark.parametrize(("memory", "name"), [(16 << 30, "cpu-int8-prefill"), (8 << 30, "cpu")])
def test_doctor_names_it_where_it_helps_and_fits(monkeypatch: pytest.MonkeyPatch, memory: int, name: str) -> None:
    processor = Device("CPU", "A processor", memory=32 << 30)
    monkeypatch.setattr("glm4_intel.machine.processor.instruction_sets", lambda: ("AVX512-VNNI", "AMX-INT8"))
    assert _recipe([processor], memory)["name"] == name
    monkeypatch.setattr("glm4_intel.machine.processor.instruction_sets", lambda: ("AVX512-VNNI",))
    assert _recipe([processor], memory)["name"] == "cpu"


def test_several_replies_at_once(prefill_nano: Path, prefill_glm: Runtime) -> None:
    with glm4_intel.load(prefill_nano, profile="throughput") as together:
        alone = prefill_glm.generate(ask(TEXT), temperature=0, max_new_tokens=20).text
        streams = [together.stream(ask(TEXT), temperature=0, max_new_tokens=20) for _ in range(4)]
        assert {"".join(chunk.text for chunk in stream) for stream in streams} == {alone}


def test_awq_scales_the_int4_way_alone(tmp_path: Path) -> None:
    recipe = RECIPES["int4-awq"].with_overrides(int8_prefill=True)
    found = model_directory.read(make("nano", tmp_path / "out", OpenVINOMaker(recipe=recipe, check=True))).manifest
    assert found is not None and found.verification is not None
    assert found.verification["fidelity_int8_prefill"]["kl_divergence"] < 0.03


@pytest.mark.parametrize(("name", "changes"), [("int8", {}), ("fp16", {}), ("int4-lora", {})])
def test_recipes_that_can_not_have_it(name: str, changes: dict) -> None:
    with pytest.raises(Glm4Error, match="A recipe can't have int8_prefill"):
        RECIPES[name].with_overrides(int8_prefill=True, **changes)


def test_it_is_for_cpus() -> None:
    with pytest.raises(Glm4Error, match="int8_prefill for"):
        Recipe("mine", "int4_sym", ("CPU", "GPU"), "", int8_prefill=True)
