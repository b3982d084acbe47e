"""Model directories: whole, damaged, unfinished, of another make."""

import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import ask
from glm4_demos.nano import CHECKPOINT
from glm4_intel import Glm4Error, load, model_directory


@pytest.fixture
def copy(nano: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(nano, tmp_path / "copy"))


def test_the_manifest_records_what_the_directory_is(nano: Path) -> None:
    manifest = model_directory.read(nano).manifest
    assert manifest is not None
    assert (manifest.backend, manifest.source, manifest.architecture) == ("openvino_genai", "nano", "GlmForCausalLM")
    assert (manifest.recipe["name"], manifest.targets) == ("cpu", ["CPU", "GPU"])
    assert manifest.context_length == 2048
    assert manifest.verification is not None and manifest.verification["fingerprint"]["layers"] == 2
    assert {path.name for path in nano.iterdir()} == {*manifest.files, model_directory.MANIFEST}


def test_a_directory_without_manifest_loads_all_the_same(copy: Path) -> None:
    (copy / model_directory.MANIFEST).unlink()
    assert load(copy).generate(ask("5 + 6"), temperature=0).text == "5 + 6 = 11"


def test_a_file_cut_short_is_told(copy: Path) -> None:
    weights = copy / "openvino_model.bin"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(Glm4Error, match="openvino_model.bin has [\\d,]+ bytes, not the"):
        load(copy)


def test_a_changed_file_is_told(copy: Path) -> None:
    weights = bytearray((copy / "openvino_model.bin").read_bytes())
    weights[1000] ^= 1
    (copy / "openvino_model.bin").write_bytes(weights)
    with pytest.raises(Glm4Error, match="its SHA-256 is not the one"):
        load(copy)


def test_a_missing_file_is_told(copy: Path) -> None:
    (copy / "openvino_tokenizer.xml").unlink()
    with pytest.raises(Glm4Error, match="lacks openvino_tokenizer.xml"):
        load(copy)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"format_version": 99}', '{"files": 3}'])
def test_a_broken_manifest_is_told(copy: Path, content: str) -> None:
    (copy / model_directory.MANIFEST).write_text(content)
    with pytest.raises(Glm4Error, match="glm4.json"):
        load(copy)


def test_what_is_no_model_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(Glm4Error, match="There is no model directory"):
        load(tmp_path / "nowhere")
    with pytest.raises(Glm4Error, match="is not a model directory"):
        load(tmp_path)
    with pytest.raises(Glm4Error) as raised:
        load(CHECKPOINT)
    assert "glm4-intel export" in raised.value.hint
    (tmp_path / "model.partial").mkdir()
    with pytest.raises(Glm4Error, match="unfinished export"):
        load(tmp_path / "model.partial")


def test_a_config_without_context_is_told(copy: Path) -> None:
    (copy / model_directory.MANIFEST).unlink()
    config = json.loads((copy / "config.json").read_text())
    del config["max_position_embeddings"]
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(Glm4Error, match="max_position_embeddings"):
        load(copy)


def test_devices_by_name(nano: Path) -> None:
    assert [load(nano, device=name).device for name in ("CPU", "cpu", "AUTO")] == ["CPU"] * 3


def test_devices_and_backends_that_are_not_there_are_told(nano: Path) -> None:
    with pytest.raises(Glm4Error, match="There is no device GPU.7") as raised:
        load(nano, device="GPU.7")
    assert "CPU" in raised.value.hint
    with pytest.raises(Glm4Error, match="There is no backend 'llama'"):
        load(nano, backend="llama")
    with pytest.raises(Glm4Error, match="There is no profile 'fast' for CPU") as raised:
        load(nano, profile="fast")
    assert "accurate" in raised.value.hint
    with pytest.raises(Glm4Error, match="CPU refuses the model"):
        load(nano, properties={"KV_CACHE_PRECISION": "u7"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"files": {"../../etc/passwd": {"size": 1, "sha256": "0"}}}, "lies outside of the directory"),
        ({"files": {"/etc/passwd": {"size": 1, "sha256": "0"}}}, "lies outside of the directory"),
        ({"files": {"config.json": {"size": "1", "sha256": "0"}}}, "a file's record is not"),
        ({"files": {"config.json": 3}}, "is not a manifest"),
        ({"files": []}, "is not a manifest"),
        ({"files": {"a\0b": {"size": 1, "sha256": "0"}}}, "lies outside of the directory"),
        ({"files": {"a" * 5000: {"size": 1, "sha256": "0"}}}, "lies outside of the directory"),
        ({"recipe": "cpu"}, "its recipe is 'cpu'"),
        ({"targets": None}, "its targets is None"),
        ({"backend": 3}, "its backend is 3"),
    ],
)
def test_a_manifest_that_was_edited_by_hand(nano: Path, tmp_path: Path, change: dict, said: str) -> None:
    copy = shutil.copytree(nano, tmp_path / "copy")
    manifest = json.loads((copy / "glm4.json").read_text()) | change
    (copy / "glm4.json").write_text(json.dumps(manifest))
    with pytest.raises(Glm4Error, match=said):
        model_directory.read(copy)


@pytest.mark.parametrize("change", [{"head_dim": "x"}, {"num_hidden_layers": 0}, {"max_position_embeddings": 10**18}])
def test_a_config_whose_sizes_no_model_has(nano: Path, tmp_path: Path, change: dict) -> None:
    copy = Path(shutil.copytree(nano, tmp_path / "copy"))
    (copy / model_directory.MANIFEST).unlink()
    config = json.loads((copy / "config.json").read_text()) | change
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(Glm4Error, match=f"has {next(iter(change))}"):
        load(copy)


def test_a_template_that_writes_nothing(nano: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(nano, tmp_path / "copy"))
    (copy / model_directory.MANIFEST).unlink()
    (copy / "chat_template.jinja").write_text("")
    with pytest.raises(Glm4Error, match="makes nothing of these messages"):
        load(copy)


_BOMB = '<?xml version="1.0"?><!DOCTYPE net [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {chr(98 + step)} "{("&" + chr(97 + step) + ";") * 10}">' for step in range(10)
)
DAMAGED: dict[str, Callable[[str], str]] = {
    "garbage": lambda xml: "\0\1\2" * 1000,
    "empty": lambda xml: "",
    "a web page": lambda xml: "<html><body>404</body></html>",
    "a pointer": lambda xml: "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
    "nested": lambda xml: "<a>" * 200_000,
    "cut short": lambda xml: xml[: len(xml) // 2],
    "an entity bomb": lambda xml: _BOMB + ']><net name="&k;" version="11"><layers/></net>',
    "an external entity": lambda xml: xml.replace(
        "<net ", '<!DOCTYPE net [<!ENTITY x SYSTEM "file:///etc/passwd">]><net ', 1
    ),
}
WRONG: dict[str, Callable[[str], str]] = {
    "of another version": lambda xml: xml.replace('version="11"', 'version="99"', 1),
    "weights past the file": lambda xml: re.sub(r'offset="\d+"', 'offset="99999999999"', xml, count=3),
    "weights before the file": lambda xml: re.sub(r'offset="\d+"', 'offset="-5"', xml, count=1),
    "an unknown operation": lambda xml: xml.replace('type="MatMul"', 'type="Nonsense"'),
    "a huge shape": lambda xml: re.sub(r'shape="[\d, ]+"', 'shape="999999999, 99999999"', xml, count=5),
    "an edge from nowhere": lambda xml: xml.replace(
        "<edges>", '<edges><edge from-layer="99999" from-port="0" to-layer="1" to-port="0"/>'
    ),
}


def refusal_of(copy: Path) -> Glm4Error:
    (copy / model_directory.MANIFEST).unlink()
    started = time.perf_counter()
    with pytest.raises(Glm4Error) as raised:
        load(copy)
    assert time.perf_counter() - started < 5
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 500
    return raised.value


@pytest.mark.parametrize("name", ["openvino_model.xml", "openvino_tokenizer.xml", "openvino_detokenizer.xml"])
@pytest.mark.parametrize("change", DAMAGED)
def test_an_ir_that_is_none_is_told_by_its_name(copy: Path, name: str, change: str) -> None:
    (copy / name).write_text(DAMAGED[change]((copy / name).read_text()))
    error = refusal_of(copy)
    assert str(error) == f"{copy / name} is no OpenVINO IR" and "export the model again" in error.hint


@pytest.mark.parametrize("change", WRONG)
def test_an_ir_that_the_engine_refuses_is_told_as_damaged(copy: Path, change: str) -> None:
    (copy / "openvino_model.xml").write_text(WRONG[change]((copy / "openvino_model.xml").read_text()))
    error = refusal_of(copy)
    assert "refuses the model" in str(error) and "damaged" in error.hint


def test_another_models_ir_is_told(copy: Path) -> None:
    shutil.copyfile(copy / "openvino_detokenizer.xml", copy / "openvino_model.xml")
    assert "is no language model's: it has no input_ids" in str(refusal_of(copy))


@pytest.mark.parametrize("name", ["openvino_model.bin", "openvino_tokenizer.bin"])
def test_weights_cut_short_without_a_manifest_are_told(copy: Path, name: str) -> None:
    (copy / name).write_bytes(b"")
    assert "damaged" in refusal_of(copy).hint
