"""What ITREX would crash on or get wrong is refused before it is asked, in any environment."""

import json
import shutil
from pathlib import Path

import pytest

from glm4_intel import Glm4Error, load
from glm4_intel.cli import main
from glm4_quantize.itrex.schemes import Scheme

NINE_B = {"hidden_size": 4096, "num_attention_heads": 32, "head_dim": 128, "intermediate_size": 13696}


@pytest.mark.parametrize(
    ("scheme", "message"),
    [
        ({"method": "smooth"}, "no method smooth"),
        ({"weight_dtype": "int3"}, "no weight dtype int3"),
        ({"weight_dtype": "int4_fullrange"}, "no CPU kernel for int4_fullrange"),
        ({"scale_dtype": "fp16"}, "no scale dtype fp16"),
        ({"compute_dtype": "fp64"}, "no compute dtype fp64"),
        ({"group_size": 0}, "group of 0 is too small"),
        ({"weight_dtype": "nf4", "compute_dtype": "int8"}, "computes nf4 weights in int8"),
        ({"group_size": -1, "compute_dtype": "int8"}, "fails to pack whole rows"),
        ({"weight_dtype": "fp4", "symmetric": False}, "no zero point"),
        ({"weight_dtype": "int8", "symmetric": False, "compute_dtype": "int8"}, "asymmetric int8 computed in int8"),
        ({"symmetric": False, "scale_dtype": "bf16"}, "asymmetric weights with bf16 scales"),
        ({"method": "gptq", "weight_dtype": "fp4"}, "does not know fp4_e2m1"),
        ({"method": "autoround", "weight_dtype": "nf4"}, "autoround fails for nf4"),
    ],
)
def test_schemes_that_there_are_not(scheme: dict, message: str) -> None:
    with pytest.raises(Glm4Error, match=message):
        Scheme(**scheme)


@pytest.mark.parametrize(
    ("scheme", "compute"),
    [
        ({}, "int8"),
        ({"weight_dtype": "int8"}, "int8"),
        ({"weight_dtype": "int8", "symmetric": False}, "fp32"),
        ({"weight_dtype": "nf4"}, "fp32"),
        ({"group_size": -1}, "fp32"),
    ],
)
def test_the_fastest_kernel_is_the_default(scheme: dict, compute: str) -> None:
    assert Scheme(**scheme).compute_dtype == compute


@pytest.mark.parametrize("size", [256, 24, 4096])
def test_groups_must_divide_every_width(size: int) -> None:
    with pytest.raises(Glm4Error, match=f"Groups of {size} do not divide"):
        Scheme(group_size=size).require_fit(NINE_B, ["AVX2"])
    for fitting in (32, 64, 128, -1):
        Scheme(group_size=fitting).require_fit(NINE_B, ["AVX2"])


def test_bf16_is_computed_with_amx_alone() -> None:
    with pytest.raises(Glm4Error, match="with AMX alone"):
        Scheme(compute_dtype="bf16").require_fit(NINE_B, ["AVX512F"])
    Scheme(compute_dtype="bf16").require_fit(NINE_B, ["AMX_BF16"])


def test_the_wrong_environment_is_told(nano: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("openvino")
    copied = shutil.copytree(nano, tmp_path / "copy")
    manifest = json.loads((copied / "glm4.json").read_text())
    (copied / "glm4.json").write_text(json.dumps(manifest | {"backend": "itrex"}))
    with pytest.raises(Glm4Error, match="needs the package intel-extension-for-transformers") as told:
        load(copied)
    assert "quantize/README.md" in told.value.hint
    assert main(["quantize", "nano", str(tmp_path / "out")]) == 1
    assert "quantize/README.md" in capsys.readouterr().err and not (tmp_path / "out").exists()
    with pytest.raises(Glm4Error, match="is a model directory for the backend openvino_genai|needs the package intel"):
        load(nano, backend="itrex")
