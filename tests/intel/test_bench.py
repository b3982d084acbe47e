"""`glm4-intel bench`: the figures it prints, what it compares, and what it refuses."""

import json
import shutil
from pathlib import Path

import pytest

from glm4_intel import Glm4Error
from glm4_intel.cli import main
from glm4_intel.commands.measuring import Workload
from glm4_intel.machine.bandwidth import read_bandwidth

FEW = ["--prompt-lengths", "8,40", "--new-tokens", "8", "--runs", "1"]


def test_figures_of_several_contestants_as_json(nano: Path, capsys: pytest.CaptureFixture[str]) -> None:
    others = ["--compare-with", "accurate", "--compare-with", "optimum", "--compare-with", "KV_CACHE_PRECISION=u8"]
    assert main(["bench", str(nano), *FEW, *others, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    names = [result["name"] for result in report["results"]]
    assert names == ["nano chat", "nano accurate", "nano chat optimum", "nano chat KV_CACHE_PRECISION=u8"]
    for result in report["results"]:
        assert [row["prompt_tokens"] for row in result["measured"]] == [8, 40]
        for row in result["measured"]:
            assert 0 < row["time_per_token"] < 1 and row["tokens_per_second"] == pytest.approx(
                1 / row["time_per_token"], rel=1e-6
            )
            assert 0 < row["bandwidth_share"] < 1.5
    assert report["read_bandwidth"] > 1e9 and report["versions"]["openvino"]


def test_a_table_to_paste_and_a_plot(nano: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "bench.png"
    assert main(["bench", str(nano), *FEW, "--plot", str(picture)]) == 0
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(table) == 4 and len({line.count("|") for line in table}) == 1
    assert len({tuple(at for at, letter in enumerate(line) if letter == "|") for line in table}) == 1
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_rows_name_everything_that_differs(nano: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    twin = tmp_path / "other" / nano.name
    shutil.copytree(nano, twin)
    others = ["--compare-with", str(twin), "--compare-with", "cpu", "--compare-with", "plain"]
    assert main(["bench", str(nano), "--prompt-lengths", "8", "--new-tokens", "2", "--runs", "1", *others]) == 0
    names = [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines() if line.startswith("|")][2:]
    here = f"{nano.parent.name}/nano"
    assert names == [f"{here} chat", "other/nano chat", f"{here} chat", f"{here} plain"]


def test_several_replies_at_once(nano: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(nano), *FEW, "--concurrency", "3", "--profile", "throughput", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["concurrency"] == 3 and report["results"][0]["measured"][0]["tokens_per_second"] > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--prompt-lengths", "8,x"], "is not a list of whole numbers"),
        (["--prompt-lengths", "4000"], "has a context of 2,048 tokens"),
        (["--new-tokens", "1"], "new_tokens is 1"),
        (["--compare-with", "nothing"], "is no directory, backend, profile or KEY=VALUE"),
        (["--plot", "figures.doc"], "is no picture's name"),
    ],
)
def test_what_bench_refuses(nano: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(nano), *arguments]) == 1
    printed = capsys.readouterr()
    assert said in printed.err and printed.out == ""


def test_a_plan_checks_itself() -> None:
    with pytest.raises(Glm4Error, match="prompt_lengths"):
        Workload(prompt_lengths=())


def test_memory_can_be_read() -> None:
    assert read_bandwidth() > 1e9
