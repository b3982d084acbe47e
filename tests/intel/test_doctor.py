"""`glm4-intel doctor`: whether the 9B fits, and nano tried on a device, with a report that tells nothing private."""

import getpass
import json
import socket
from pathlib import Path

import pytest

from glm4_export.checkpoint.source import resolve
from glm4_export.openvino.estimate import estimate
from glm4_intel.cli import main
from glm4_intel.commands.fitting import fit_lines, judge_fit
from glm4_intel.commands.trying import without_names
from glm4_intel.devices import Device, Machine, reference_model
from glm4_quantize.recipes import RECIPES

CPU = Device("CPU", "A processor", memory=8 << 30)
GPU = Device("GPU", "Arc", integrated=False, memory=16 << 30)


def test_the_9b_is_what_an_export_of_it_would_be() -> None:
    """The constants, held against the export's own estimate from a config of that size."""
    nano = resolve("nano")
    sizes = {"num_hidden_layers": 40, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 2,
             "head_dim": 128, "vocab_size": 151552, "intermediate_size": 13696}  # fmt: skip
    checkpoint = type(nano)(**{**vars(nano), "config": nano.config | sizes})
    assert pytest.approx(estimate(checkpoint, RECIPES["cpu"]).output, rel=0.02) == reference_model.WEIGHTS
    assert {key: sizes[key] for key in reference_model.CONFIG} == reference_model.CONFIG


@pytest.mark.parametrize(("free", "fits"), [(16 << 30, True), (4 << 30, False)])
def test_whether_it_fits_and_how_fast(free: int, fits: bool) -> None:
    found = judge_fit(Machine([CPU, GPU], free))
    assert [each["fits"] for each in found["devices"]] == [fits, True]
    slowest, fastest = found["tokens_per_second"]
    assert 0 < slowest < fastest < found["bandwidth"] / found["bytes_per_token"]
    text = "\n".join(fit_lines(found))
    assert ("it does NOT fit" in text) is not fits and "estimated" in text and "tokens a second" in text


def test_doctor_answers_without_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "GLM-4-9B at int4 takes 5.9 GB" in printed and "tokens a second" in printed
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fit"]["memory"] > 5e9


def test_nano_on_the_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "report.json"
    assert main(["doctor", "--try", "CPU", "--report", str(file)]) == 0
    text = file.read_text(encoding="utf-8")
    report = json.loads(text)
    assert report["verdict"] == "agrees" and report["same_replies"] == "3 of 3" and report["stage"] == "ended"
    assert report["logits_difference"] < 0.05 and report["tokens_per_second"] > 1 and report["versions"]["openvino"]
    private = [str(Path.home()), str(tmp_path), socket.gethostname(), getpass.getuser()]
    assert not [name for name in private if len(name) > 2 and name in text]
    assert "agrees" in capsys.readouterr().out


def test_a_device_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "report.json"
    assert main(["doctor", "--try", "GPU.7", "--report", str(file)]) == 1
    assert capsys.readouterr().err.startswith("error: There is no device GPU.7 on this machine\nhint: ")
    assert not file.exists()
    assert main(["doctor", "--try", "CPU", "--report", str(tmp_path / "none" / "x.json")]) == 1


def test_a_report_names_no_folders() -> None:
    said = "/home/ada/models/nano/x.xml: C:\\Users\\ada\\x.bin can't be read, 3/4 done"
    assert without_names(said) == "PATH: PATH can't be read, 3/4 done"
