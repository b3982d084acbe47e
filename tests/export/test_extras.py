"""What an export says of itself: fingerprint, fidelity, model card, and what a model server reads."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from glm4_export.checkpoint.source import resolve
from glm4_export.directory.card import write_card
from glm4_export.directory.hub import push
from glm4_export.making import make
from glm4_export.openvino.maker import OpenVINOMaker
from glm4_intel import Glm4Error, model_directory
from glm4_quantize.recipes import RECIPES

CLI = [sys.executable, "-m", "glm4_intel.cli"]


def command(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([*CLI, *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture
def copy(nano: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(nano, tmp_path / "copy"))


def change_manifest(directory: Path, change: object) -> None:
    manifest = json.loads((directory / "glm4.json").read_text())
    change(manifest)  # type: ignore[operator]
    (directory / "glm4.json").write_text(json.dumps(manifest))


def test_verify_a_directory_that_is_whole(copy: Path) -> None:
    done = command("verify", copy, "--json")
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert found["files"] == len(list(copy.iterdir())) - 1 and "the recorded one" in found["fingerprint"]


def test_verify_sees_a_changed_byte_of_a_large_file(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files beyond a size are not hashed at every load, but they are here."""
    monkeypatch.setattr(model_directory, "_HASHED_ON_LOAD", 1000)
    with (copy / "openvino_model.bin").open("r+b") as file:
        file.seek(500_000)
        file.write(b"\x00\xff")
    manifest = model_directory.read(copy).manifest
    assert manifest is not None
    with pytest.raises(Glm4Error, match="openvino_model.bin has changed"):
        model_directory.check_hashes(copy, manifest)


def test_verify_sees_other_logits(copy: Path) -> None:
    def change(manifest: dict) -> None:
        manifest["verification"]["fingerprint"]["logits"][3] += 5

    change_manifest(copy, change)
    done = command("verify", copy)
    assert done.returncode == 1 and "computes other logits than when it was exported" in done.stderr


def test_verify_sees_a_graph_that_does_not_load(copy: Path) -> None:
    (copy / "openvino_model.xml").write_text("<net/>")
    (copy / "glm4.json").unlink()
    done = command("verify", copy)
    assert done.returncode == 1 and "CPU refuses the model" in done.stderr and "Traceback" not in done.stderr


def test_verify_a_directory_of_another_tool(copy: Path) -> None:
    (copy / "glm4.json").unlink()
    done = command("verify", copy)
    assert done.returncode == 0 and "none was recorded to compare with" in done.stdout
    assert "made by another tool" in done.stderr


@pytest.mark.parametrize("name", ["none", "cpu"])
def test_fidelity(name: str, tmp_path: Path) -> None:
    out = make("nano", tmp_path / name, OpenVINOMaker(recipe=RECIPES[name], check=True))
    manifest = model_directory.read(out).manifest
    assert manifest is not None and manifest.verification is not None
    found = manifest.verification["fidelity"]
    assert found["tokens"] > 100
    if name == "none":  # bf16 in PyTorch against f32 of the same weights
        assert found["agreement"] > 0.95 and found["kl_divergence"] < 0.01
        assert found["perplexity"] == pytest.approx(found["original_perplexity"], rel=0.02)
    else:
        assert 0 < found["kl_divergence"] < 1 and found["agreement"] > 0.6


def test_fidelity_over_a_text_of_ones_own(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("What is 17 + 25? " * 5)
    out = make("nano", tmp_path / "out", OpenVINOMaker(check=True, check_text=text))
    manifest = model_directory.read(out).manifest
    assert manifest is not None and manifest.verification is not None
    assert 20 < manifest.verification["fidelity"]["tokens"] < 100
    text.write_text("")
    with pytest.raises(Glm4Error, match="is too short to compare with"):
        make("nano", tmp_path / "other", OpenVINOMaker(check=True, check_text=text))


def test_the_model_card(nano: Path) -> None:
    text = (nano / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    about = yaml.safe_load(front)
    assert about["library_name"] == "openvino" and about["pipeline_tag"] == "text-generation" and about["license"]
    for fact in ("int4_sym", "groups of 128", "glm4-intel chat", "nncf 3.4", "fingerprint", "Licence"):
        assert fact in body, fact


@pytest.mark.parametrize(("source", "license"), [("THUDM/glm-4-9b-chat", "other"), ("zai-org/GLM-4-9B-0414", "mit")])
def test_the_card_names_the_licence_of_the_weights(nano: Path, tmp_path: Path, source: str, license: str) -> None:
    manifest, checkpoint = model_directory.read(nano).manifest, resolve("nano")
    assert manifest is not None
    known = type(checkpoint)(**{**vars(checkpoint), "names": (source, "folder", ""), "source": source})
    write_card(tmp_path, known, manifest)
    about = yaml.safe_load((tmp_path / "README.md").read_text().split("---\n")[1])
    assert about["license"] == license and about["base_model"] == source


def test_a_push_without_network_says_what_to_do(nano: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "none")
    with pytest.raises(Glm4Error, match="is ready, but can't be uploaded to someone/glm4") as raised:
        push(nano, "someone/glm4")
    assert raised.value.hint.startswith("Log in (hf auth login)")


def test_recipes_are_listed_with_their_reasons() -> None:
    done = command("export", "--list-recipes")
    assert done.returncode == 0
    for recipe in RECIPES.values():
        assert f"{recipe.name} " in done.stdout and recipe.reason.split()[0] in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120


def test_overrides_of_a_recipe(tmp_path: Path) -> None:
    done = command("export", "nano", tmp_path / "out", "--mode", "int4_asym", "--group-size", 32, "--lm-head", "mode")
    assert done.returncode == 0, done.stderr
    manifest = model_directory.read(tmp_path / "out").manifest
    assert manifest is not None
    expected = {"mode": "int4_asym", "group_size": 32, "lm_head": "mode"}
    assert {key: manifest.recipe[key] for key in expected} == expected
    assert "Changed by hand: mode int4_asym, group_size 32, lm_head mode" in manifest.recipe["reason"]


def test_calibration_data_of_ones_own(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text(json.dumps([{"role": "user", "content": "What is 17 + 25?"}]) + "\n")
    out = tmp_path / "out"
    done = command("export", "nano", out, "--recipe", "int4-scale", "--calibration", data)
    assert done.returncode == 0, done.stderr
    done = command("export", "nano", tmp_path / "other", "--recipe", "cpu", "--calibration", data)
    assert done.returncode == 1 and "uses no calibration data" in done.stderr
