"""Nothing half done: kills, full disks, too little memory, two exports at once."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from adapter_forms import LAYER, lora_folder
from forms import random_checkpoint
from glm4_demos.nano import CHECKPOINT
from glm4_export.checkpoint.adapters import merged_bytes, read_mergings
from glm4_export.checkpoint.source import resolve
from glm4_export.directory import staging
from glm4_export.making import MakeOptions, make, writings
from glm4_export.openvino import estimate
from glm4_export.openvino.maker import OpenVINOMaker
from glm4_intel import Glm4Error, model_directory
from glm4_intel.devices import footprint
from glm4_intel.machine import memory
from glm4_quantize.recipes import RECIPES

EXPORT = [sys.executable, "-m", "glm4_intel.cli", "export"]
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and limits")


def started(source: object, out: Path) -> subprocess.Popen:
    return subprocess.Popen([*EXPORT, str(source), str(out)], stderr=subprocess.PIPE)


@posix
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
@pytest.mark.parametrize("stage", ["reading", "converting to", "saving"])
def test_an_interrupted_export_leaves_nothing_that_looks_whole(
    tmp_path: Path, stage: str, sent: signal.Signals, status: int
) -> None:
    out = tmp_path / "out"
    process = started("nano", out)
    assert process.stderr is not None
    said = b""
    while stage.encode() not in said:
        said += os.read(process.stderr.fileno(), 4096)
    time.sleep(0.05)
    process.send_signal(sent)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == status
    assert b"Traceback" not in said + rest
    assert not out.exists()
    if sent != signal.SIGKILL:
        assert not list(tmp_path.iterdir())


def kill_at_random_moments(source: object, out: Path, runs: int) -> None:
    """Each kill leaves nothing at `out`, or what it had; what lies beside it does not load; the last run succeeds."""
    begun = time.perf_counter()
    make(str(source), out, OpenVINOMaker())
    usual, moments = time.perf_counter() - begun, random.Random(0)
    shutil.rmtree(out)
    for _ in range(runs):
        process = started(source, out)
        time.sleep(moments.uniform(1, usual + 6))  # a process of its own imports everything first
        process.kill()
        process.communicate()
        partial = out.with_name(out.name + model_directory.UNFINISHED)
        if out.exists():
            manifest = model_directory.read(out).manifest
            assert manifest is not None
            model_directory.check_hashes(out, manifest)
            shutil.rmtree(out)
        elif partial.exists() and not (partial / model_directory.MANIFEST).exists():
            with pytest.raises(Glm4Error, match="is an unfinished export"):
                model_directory.read(partial)
    assert model_directory.read(make(str(source), out, OpenVINOMaker())).manifest
    assert [path.name for path in out.parent.iterdir() if path.name.startswith(out.name)] == [out.name]


@posix
def test_kills_at_random_moments(tmp_path: Path) -> None:
    kill_at_random_moments("nano", tmp_path / "out", runs=4)


@posix
@pytest.mark.slow
@pytest.mark.skipif("GLM4_TOKENIZER" not in os.environ, reason="GLM4_TOKENIZER names no folder")
def test_twenty_kills_at_mini_size(tmp_path: Path) -> None:
    texts = Path(os.environ["GLM4_TOKENIZER"])
    mini = random_checkpoint(texts, tmp_path / "mini", hidden_size=512, num_hidden_layers=4, intermediate_size=1536)
    kill_at_random_moments(mini, tmp_path / "out", runs=20)


def test_what_a_killed_export_left_is_cleaned_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / f"out{model_directory.UNFINISHED}"
    left.mkdir()
    (left / "openvino_model.bin").write_bytes(b"half")
    (left / "export.pid").write_text("4194305")  # beyond every process id of Linux
    out = make("nano", tmp_path / "out", OpenVINOMaker())
    assert not left.exists() and model_directory.read(out).manifest


def test_killed_while_the_new_one_took_the_old_ones_place(nano: Path, tmp_path: Path) -> None:
    """What there was comes back, and the next export goes on as if nothing had been."""
    out = tmp_path / "out"
    shutil.copytree(nano, tmp_path / "out.old")
    (tmp_path / "out.old" / "export.replaced").touch()
    with pytest.raises(RuntimeError, match="stopped here"), staging.growing(out):
        assert model_directory.read(out).manifest
        raise RuntimeError("stopped here")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    shutil.copytree(nano, tmp_path / "out.old")
    (tmp_path / "out.old" / "export.replaced").touch()
    make("nano", out, OpenVINOMaker(), MakeOptions(overwrite=True))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_exports_to_one_place(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="has no manifest"), staging.growing(tmp_path / "out") as directory:
        with pytest.raises(Glm4Error, match="Another export .* is at work"):
            make("nano", tmp_path / "out", OpenVINOMaker())
        assert (directory / "export.pid").exists()  # the refused one has taken nothing away


def test_a_directory_that_was_not_finished_does_not_take_its_place(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="has no manifest"), staging.growing(tmp_path / "out"):
        pass
    assert not list(tmp_path.iterdir())


def test_an_out_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Glm4Error, match="can't be written to"):
        make("nano", tmp_path / "file" / "out", OpenVINOMaker())


def test_a_disk_that_is_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=10 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(Glm4Error, match="The model directory needs about 0.0 GB, and .* has 0.0 GB free"):
        make("nano", tmp_path / "out", OpenVINOMaker())


@posix
@pytest.mark.parametrize("way", ["plain", "int8", "merged"])
def test_a_disk_that_fills_up(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, way: str) -> None:
    """A real file system of 2 MB, of its own for the process; in temporary files it is written through a mapping."""
    adapter = lora_folder(tmp_path_factory.mktemp("adapter") / "a", LAYER)
    ways = {"plain": "", "int8": "--recipe cpu-int8-prefill", "merged": f"--adapter {adapter}"}
    command = (
        f"mount -t tmpfs -o size=2m none {tmp_path} && exec {' '.join(EXPORT)} nano {tmp_path}/out --ignore-limits "
        f"{ways[way]}"
    )
    done = subprocess.run(["unshare", "--mount", "sh", "-c", command], capture_output=True, text=True)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip("may not mount")
    assert done.returncode == 1
    assert f"error: The disk of {tmp_path} is full" in done.stderr and "Traceback" not in done.stderr


@posix
def test_too_little_memory(tmp_path: Path) -> None:
    command = f"ulimit -v 2000000; exec {' '.join(EXPORT)} nano {tmp_path}/out"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert done.returncode == 1
    assert "This export needs about 2.9 GB of address space" in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_container_that_is_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit as a container's control files state it."""
    (tmp_path / "memory.max").write_text(f"{600 << 20}\n")
    (tmp_path / "memory.current").write_text(f"{200 << 20}\n")
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {30 << 20}\nactive_file {20 << 20}\n")
    monkeypatch.setattr(memory, "folders", lambda controller: [tmp_path])
    assert memory.available_memory() == 450 << 20
    with pytest.raises(Glm4Error, match="needs about 0.7 GB of memory, and 0.5 GB are available"):
        make("nano", tmp_path / "out", OpenVINOMaker())
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_memory() > 1 << 30


def test_the_estimate_counts_what_is_written(nano: Path) -> None:
    expected = estimate.estimate(resolve("nano"), RECIPES["cpu"]).output - (32 << 20)
    written = (nano / "openvino_model.bin").stat().st_size
    assert 0.95 < expected / written < 1.05


def test_the_room_for_temporary_files_is_counted(tmp_path: Path) -> None:
    """The int8 weights until the IR is written, and the merged ones, in the checkpoint's own type."""
    checkpoint, adapters = resolve("nano"), (lora_folder(tmp_path / "a", ("q_proj", "down_proj")), 1.0)
    merged = merged_bytes(read_mergings([adapters], checkpoint.config), checkpoint)
    assert merged == pytest.approx(8 * 2 * 256 * (256 + 640), rel=0.01)
    for recipe, int8 in (("cpu", 0), ("cpu-int8-prefill", 8 * footprint.layer_weights(checkpoint.config))):
        maker = OpenVINOMaker(recipe=RECIPES[recipe])
        assert maker.estimate(checkpoint).scratch == int8
        for mergings, size in (((), 0), (read_mergings([adapters], checkpoint.config), merged)):
            planned = writings(checkpoint, tmp_path / "out", maker, mergings)
            found = [each.size for each in planned if each.what == "its temporary files"]
            assert found == ([int8 + size] if int8 + size else [])


def test_the_estimate_of_the_9b_is_what_was_measured() -> None:
    """5.45 GB of weights at int4, groups of 128, with the embedding and lm_head at int8."""
    config = {"vocab_size": 151552, "hidden_size": 4096, "num_hidden_layers": 40, "num_attention_heads": 32,
              "num_key_value_heads": 2, "head_dim": 128, "intermediate_size": 13696}  # fmt: skip
    nano = resolve("nano")
    checkpoint = type(nano)(nano.path, "", None, nano.layout, config, nano.shards, nano.names)
    assert abs(estimate.estimate(checkpoint, RECIPES["cpu"]).output / 5.45e9 - 1) < 0.02


def test_ctrl_c_is_heard_while_a_library_works() -> None:
    """The work runs in a thread, so that the main one can be interrupted."""
    from glm4_export.progress import Progress, interruptibly

    running, end = threading.Event(), threading.Event()

    class Impatient(Progress):
        def tick(self) -> None:
            assert running.is_set()
            raise KeyboardInterrupt

    def work() -> None:
        running.set()
        end.wait(30)

    with pytest.raises(KeyboardInterrupt):
        interruptibly(work, Impatient())
    end.set()


def test_the_manifest_records_the_recipe_whole(nano: Path) -> None:
    manifest = json.loads((nano / "glm4.json").read_text())
    assert manifest["recipe"] == json.loads(json.dumps(RECIPES["cpu"].to_dict()))
    assert manifest["source"] == "nano" and manifest["libraries"]["nncf"]
    assert CHECKPOINT.is_dir()


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text elsewhere")
@pytest.mark.parametrize("arguments", [["nano", "\udcff\udcfe"], ["\udcff", "out"]])
def test_names_that_are_no_text_are_told_before_any_work(tmp_path: Path, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "glm4_intel", "export", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "is no name in UTF-8" in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text elsewhere")
def test_a_model_directory_whose_name_is_no_text_is_told(tmp_path: Path) -> None:
    odd = tmp_path / "\udcff"
    odd.mkdir()
    with pytest.raises(Glm4Error, match="is no name in UTF-8"):
        model_directory.read(odd)


def kept(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("place", ["project/fine-tune", "project", "documents", "link", "model", "broken", "."])
def test_nothing_is_replaced_but_a_model_directory(
    nano: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """The checkpoint, what it lies in, other folders, what a link points to, and a model directory with other files."""
    inner = shutil.copytree(CHECKPOINT, tmp_path / "project" / "fine-tune")
    (tmp_path / "project" / "glm4.json").write_bytes((nano / "glm4.json").read_bytes())
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "letter.txt").write_text("the only copy")
    shutil.copytree(nano, tmp_path / "model")
    (tmp_path / "model" / "notes").mkdir()
    (tmp_path / "model" / "notes" / "mine.txt").write_text("the only copy")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "glm4.json").write_text("{")
    (tmp_path / "link").symlink_to(tmp_path / "model", target_is_directory=True)
    before = kept(tmp_path)
    monkeypatch.chdir(tmp_path)
    for options in (MakeOptions(), MakeOptions(overwrite=True)):
        with pytest.raises(Glm4Error):
            make(str(inner), Path(place), OpenVINOMaker(), options)
    assert kept(tmp_path) == before


@pytest.mark.parametrize("suffix", [".old", model_directory.UNFINISHED])
@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_folders_beside_that_no_export_made_stay(tmp_path: Path, suffix: str, kind: str) -> None:
    beside, mine = tmp_path / f"out{suffix}", tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("the only copy")
    if kind == "folder":
        shutil.copytree(mine, beside)
    elif kind == "link":
        beside.symlink_to(mine, target_is_directory=True)
    else:
        beside.write_text("the only copy")
    before = kept(tmp_path)
    with pytest.raises(Glm4Error, match="is in the way, and no export made it"):
        make("nano", tmp_path / "out", OpenVINOMaker())
    assert kept(tmp_path) == before and beside.is_symlink() == (kind == "link")
