"""Prompts in int8 where they are not to be had whole: products left out, outliers, and a machine short of memory."""

import argparse
import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch

import glm4_intel
from conftest import ask
from forms import with_outliers
from glm4_demos.nano import CHECKPOINT
from glm4_export.checkpoint.source import resolve
from glm4_export.checkpoint.weights import load
from glm4_export.commands import export
from glm4_export.openvino import convert
from glm4_export.openvino.int8_products import MUCH, smoothing, told, worst_first
from glm4_intel import Glm4Error, loading, model_directory
from glm4_intel.backends import LoadOptions, engine_for
from glm4_intel.backends.one_way import in_one_way
from glm4_intel.backends.openvino_ir import next_logits
from glm4_intel.backends.scoring import Scorer
from glm4_intel.commands.doctor import judge
from glm4_intel.devices import Device, Machine, footprint, properties
from glm4_quantize.int8_prefill import TOKENS, Int8Weight, add_int8_prefill, int8_weights
from glm4_quantize.int8_prefill.smoothing import divisors
from glm4_quantize.int8_prefill.weights import products
from glm4_quantize.recipes import RECIPES, Recipe

IDS = [int(each) for each in np.random.default_rng(0).integers(5, 3000, 3 * TOKENS)]


def logits(directory: Path, model: openvino.Model | None = None) -> np.ndarray:
    graph = model or openvino.Core().read_model(directory / "openvino_model.xml")
    compiled = openvino.Core().compile_model(graph, "CPU", properties("CPU", "accurate"))
    return next_logits(compiled.create_infer_request(), IDS)


def exported(out: Path, source: str, *arguments: str) -> Mapping[str, dict]:
    """What `--check` finds of an export by the command's own arguments."""
    parser = argparse.ArgumentParser()
    export.add_arguments(parser)
    given = [source, str(out), "--recipe", "cpu-int8-prefill", "--check", *arguments]
    assert export.run(parser.parse_args(given)) == 0
    manifest = model_directory.read(out).manifest
    assert manifest is not None and manifest.verification is not None
    return manifest.verification | {"recipe": manifest.recipe}


@pytest.fixture(scope="module")
def outliers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nano with three columns of each product's activations 64 times as large, which computes the same."""
    return with_outliers(CHECKPOINT, tmp_path_factory.mktemp("outliers") / "checkpoint")


@pytest.fixture(scope="module")
def with_their_price(outliers: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, dict]:
    return exported(tmp_path_factory.mktemp("plain") / "out", str(outliers))


def test_products_are_left_in_one_way_by_name(tmp_path: Path, nano: Path) -> None:
    names = "layers.0.mlp.*, layers.*.self_attn.?_proj"
    found = exported(tmp_path / "out", "nano", "--int8-prefill-except", names)
    assert found["recipe"]["int8_prefill_except"] == ["layers.0.mlp.*", "layers.*.self_attn.?_proj"]
    left = {f"layers.{layer}.mlp.{each}_proj" for layer in range(1, 8) for each in ("gate_up", "down")}
    assert set(found["int8_prefill_errors"]) == left
    assert found["fidelity_int8_prefill"]["kl_divergence"] < found["fidelity"]["kl_divergence"]
    directory = model_directory.read(tmp_path / "out")
    one = footprint.weights_bytes(nano)
    assert footprint.one_way_bytes(directory) == pytest.approx(one, rel=0.02)
    assert footprint.weights_bytes(directory.path) > 1.3 * one


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--int8-prefill-except", "layers.9.mlp.down_proj"], r"No product of the model matches 'layers.9.mlp.down"),
        (["--int8-prefill-except", "layers.*"], "leaves no product for int8"),
        (["--no-int8-prefill", "--int8-prefill-except", "*"], "int8_prefill_except without a second way"),
        (["--no-int8-prefill", "--int8-prefill-smoothing"], "int8_prefill_smoothing without a second way"),
        (["--calibration", "text.txt"], "uses no calibration data"),
    ],
)
def test_what_can_not_be_left_out(tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(Glm4Error, match=message):
        exported(tmp_path / "out", "nano", *arguments)
    assert not (tmp_path / "out").exists()


def test_the_check_tells_what_products_err(with_their_price: Mapping[str, dict], prefill_nano: Path) -> None:
    much = told(with_their_price["int8_prefill_errors"], most=2)
    assert much[0].startswith("  layers.") and "and" in much[2] and "--int8-prefill-except 'layers." in much[-1]
    manifest = model_directory.read(prefill_nano).manifest
    assert manifest is not None and manifest.verification is not None
    errors = manifest.verification["int8_prefill_errors"]
    assert list(errors.values()) == sorted(errors.values(), reverse=True) and len(errors) == 48
    assert min(errors.values()) > 0.001 and max(errors.values()) < MUCH / 2
    (line,) = told(errors)
    assert line.endswith(f"({next(iter(errors))})")


def test_smoothing_takes_the_price_of_outliers_away(
    with_their_price: Mapping[str, dict], outliers: Path, prefill_nano: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The lighthouse keeper counted the ships. 灯塔看守人数着船只。 def f(x): return x + 1\n" * 8)
    arguments = ("--int8-prefill-smoothing", "--calibration", str(text))
    smoothed = exported(tmp_path / "out", str(outliers), *arguments)["fidelity_int8_prefill"]
    manifest = model_directory.read(prefill_nano).manifest
    assert manifest is not None and manifest.verification is not None
    without_outliers = manifest.verification["fidelity_int8_prefill"]
    dear = with_their_price["fidelity_int8_prefill"]
    assert dear["kl_divergence"] > 3 * smoothed["kl_divergence"]
    assert smoothed["kl_divergence"] < 2 * without_outliers["kl_divergence"]


@pytest.mark.parametrize("left_out", [("layers.[1-7].*",), ("layers.[1-7].*", "*.gate_up_proj", "*.k_proj")])
def test_smoothed_products_are_those_of_pytorch(tmp_path: Path, left_out: tuple[str, ...]) -> None:
    """Those of the first layer, with factors drawn at random. Of the first tokens: a value halfway between two levels
    may go either way, which later ones then see."""
    model = load(resolve("nano"))[0]
    converted, _ = convert.convert(model)
    random = np.random.default_rng(0)
    widths = {name: module.in_features for name, module in model.model.named_modules() if name.endswith("_proj")}
    shared = {name.replace("k_proj", "q_proj").replace("v_proj", "q_proj"): width for name, width in widths.items()}
    drawn = {name: np.exp2(random.integers(-3, 4, width)).astype(np.float32) for name, width in shared.items()}
    given = {name: drawn[name.replace("k_proj", "q_proj").replace("v_proj", "q_proj")] for name in widths}
    both = converted.clone()
    with int8_weights(converted, tmp_path, left_out=left_out, divisors=given) as found:
        add_int8_prefill(both, converted, found, tokens=0)
        ours, right = torch.from_numpy(logits(tmp_path, both))[:8], _in_pytorch(found)[:8]
    plain = torch.from_numpy(logits(tmp_path, converted))[:8]
    assert len(found) == (6 if len(left_out) == 1 else 4)
    assert (ours - right).abs().amax(-1).median() < 1e-3 < (plain - right).abs().amax(-1).median()


def _in_pytorch(found: Mapping[str, Int8Weight]) -> torch.Tensor:
    model = load(resolve("nano"))[0].float()
    for name, weight in found.items():
        linear = model.model.get_submodule(name)
        values = torch.from_numpy(np.concatenate(weight.parts, axis=1)).float() * torch.from_numpy(weight.scale)
        linear.forward = partial(_smoothed_product, values, torch.from_numpy(weight.divisor), linear.bias)
    with torch.inference_mode():
        found_logits: torch.Tensor = model(torch.tensor([IDS])).logits[0]
    return found_logits


def _smoothed_product(
    values: torch.Tensor, divisor: torch.Tensor, bias: torch.Tensor | None, given: torch.Tensor
) -> torch.Tensor:
    divided = given / divisor
    unit = divided.abs().amax(-1, keepdim=True) / 127
    return torch.nn.functional.linear((divided / unit).round() * unit, values, bias)


def test_factors_are_powers_of_two_shared_by_those_that_read_the_same() -> None:
    model = load(resolve("nano"))[0]
    found = smoothing(model, [IDS[:40], IDS[40:60]], lambda done: None)
    assert set(found) == set(products(convert.convert(model)[0]))
    assert all(np.array_equal(np.log2(each), np.log2(each).round()) for each in found.values())
    assert np.array_equal(found["layers.1.self_attn.q_proj"], found["layers.1.self_attn.v_proj"])
    nothing = divisors({"layers.0.mlp.down_proj": np.zeros(4)}, {"layers.0.mlp.down_proj": np.ones(4)})
    assert nothing["layers.0.mlp.down_proj"].tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float32])
def test_factors_round_no_weight(kind: torch.dtype, tmp_path: Path) -> None:
    """The int8 weights of a checkpoint of any type are those of the columns multiplied in float32."""
    model = load(resolve("nano"))[0].to(kind)
    name, factors = "layers.2.mlp.down_proj", np.exp2(np.arange(640) % 7 - 3).astype(np.float32)
    weight = model.model.get_submodule(name).weight.detach().float() * torch.from_numpy(factors)
    unit = weight.abs().amax(-1, keepdim=True) / 127
    with int8_weights(convert.convert(model)[0], tmp_path, left_out=["*.gate_up*"], divisors={name: factors}) as found:
        ours = torch.from_numpy(found[name].parts[0].copy()).float() * torch.from_numpy(found[name].scale)
    steps = (ours - weight).abs() / unit
    assert steps.max() < 1.02 and steps.mean() < 0.27  # a row's largest value may be a step too short


def test_one_way_of_two_is_the_int4_model(prefill_nano: Path, nano: Path) -> None:
    with in_one_way(prefill_nano) as directory:
        assert np.array_equal(logits(directory), logits(nano))
    assert not directory.exists() and not np.array_equal(logits(prefill_nano), logits(nano))


def test_memory_for_one_way_alone_is_planned_told_and_run(
    prefill_nano: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    directory = model_directory.read(prefill_nano)
    both = footprint.memory_needed(directory, directory.context_length)
    one = both - footprint.weights_bytes(prefill_nano) + footprint.one_way_bytes(directory)
    cpu, engine = [Device("CPU", "CPU")], engine_for(directory)
    plans = [engine.plan(directory, LoadOptions(), Machine(cpu, free)) for free in (both, both - 1, one)]
    assert [plan.one_way for plan in plans] == [False, True, True] and not plans[0].note
    assert all(plan.footprint.total <= free for plan, free in zip(plans, (both, both - 1, one), strict=True))
    with pytest.raises(Glm4Error, match="GB are available"):
        engine.plan(directory, LoadOptions(), Machine(cpu, one - 1))
    assert "in int4" in judge(prefill_nano, Machine(cpu, one))["note"]
    monkeypatch.setattr(loading, "Machine", lambda: Machine(cpu, one))
    with caplog.at_level(logging.WARNING), glm4_intel.load(prefill_nano) as glm:
        assert glm.generate(ask("What is 17 + 25?"), temperature=0).text.endswith("42")
    assert [record.message for record in caplog.records if "int4" in record.message]


def test_texts_are_scored_as_replies_are_written(prefill_nano: Path, nano: Path, tmp_path: Path) -> None:
    two, options = model_directory.read(prefill_nano), LoadOptions(device="CPU")
    free = footprint.one_way_bytes(two)
    found = Scorer(two, options, Machine(free_memory=free)).score(IDS, 2)
    assert list(found) == list(Scorer(model_directory.read(nano), options, Machine()).score(IDS, 2))
    with pytest.raises(Glm4Error, match="a second time"):
        Scorer(two, options, Machine(free_memory=free - 1))
    assert two.manifest
    itrex = replace(two, path=tmp_path, manifest=replace(two.manifest, backend="itrex"))
    with pytest.raises(Glm4Error, match="the backend itrex scores no texts") as refused:
        Scorer(itrex, options, Machine())
    assert refused.value.hint == "Leave --scoring out."


def test_recipes_say_what_they_would_do() -> None:
    recipe = RECIPES["cpu-int8-prefill"].with_overrides(int8_prefill_smoothing=True)
    assert recipe.reads_samples and not recipe.needs_data
    assert Recipe(**recipe.to_dict()) == recipe
    assert worst_first({"a": 0.1, "b": 0.22222}) == {"b": 0.2222, "a": 0.1}


@pytest.mark.skipif("BF16" not in Machine().require("CPU").capabilities, reason="no bf16 in this processor")
def test_attention_in_bf16_beside_products_in_int8(tmp_path: Path, prefill_nano: Path) -> None:
    out = tmp_path / "out"
    found = exported(out, "nano", "--bf16-attention")
    manifest = model_directory.read(prefill_nano).manifest
    assert manifest is not None and manifest.verification is not None
    for kind in ("fidelity", "fidelity_int8_prefill"):
        assert found[kind]["kl_divergence"] < manifest.verification[kind]["kl_divergence"] + 0.002
    for profile in ("chat", "throughput", "accurate"):
        with glm4_intel.load(out, device="CPU", profile=profile) as glm:
            assert glm.generate(ask("What is 17 + 25?"), temperature=0).text.endswith("42"), profile
    without = Machine([Device("CPU", "CPU", capabilities=("FP32", "INT8"))])
    with pytest.raises(Glm4Error, match="no instructions for"):
        engine_for(model_directory.read(out)).plan(model_directory.read(out), LoadOptions(), without)
