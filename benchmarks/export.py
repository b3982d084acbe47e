"""What exporting costs, beside `optimum-cli export openvino` with the same parameters, in one run.

    python benchmarks/export.py CHECKPOINT [CHECKPOINT …] --out FOLDER [--baseline CHECKPOINT]

Ours without and with the second way for prompts. Each is a process of its own, begun with cold file caches where that
can be had (root on Linux). Wall time, the peak of anonymous memory (of the process and its children, ten times a
second), and of the disk that the folder takes.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from environment import environment

OPTIMUM = (
    "optimum-cli export openvino --model {source} --task text-generation-with-past --weight-format int4 --sym "
    "--group-size 128 --ratio 1.0 {out}"
)
OURS = {
    "cpu": "glm4-intel export {source} {out} --recipe cpu",
    "cpu-int8-prefill": "glm4-intel export {source} {out} --recipe cpu-int8-prefill",
}


@dataclass(frozen=True)
class Cost:
    """Seconds, and bytes at the peak and at the end."""

    seconds: float
    memory: int
    disk: int
    output: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--baseline", type=Path, help="what optimum-cli exports; it takes no chatglm layout")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the results, which are deleted")
    options = parser.parse_args()
    print(environment(), flush=True)
    print("| | wall | anonymous memory | disk at the peak | output |\n|---|---|---|---|---|", flush=True)
    found = {}
    for checkpoint in options.checkpoints:
        for recipe, command in OURS.items():
            name = f"glm4-intel {recipe}, {checkpoint.name}"
            show(name, found.setdefault(name, measure(command, checkpoint, options.out)))
    if options.baseline:
        baseline = measure(OPTIMUM, options.baseline, options.out)
        show(f"optimum-cli, {options.baseline.name}", baseline)
        for name, cost in found.items():
            print(f"{name}: {cost.seconds / baseline.seconds:.2f} of optimum-cli's time")


def show(name: str, cost: Cost) -> None:
    sizes = f"{cost.disk / 1e9:.1f} GB | {cost.output / 1e9:.2f} GB"
    print(f"| {name} | {cost.seconds:.0f} s | {cost.memory / 2**30:.2f} GiB | {sizes} |", flush=True)


def measure(command: str, source: Path, folder: Path) -> Cost:
    """Run it with `folder` as its temporary folder too, so that temporary files are seen."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    out = folder / "out"
    cool_caches()
    started = time.perf_counter()
    process = psutil.Popen(
        command.format(source=source, out=out).split(),
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    memory = disk = 0
    while process.poll() is None:
        memory, disk = max(memory, anonymous(process)), max(disk, size(folder))
        time.sleep(0.1)
        os.set_blocking(process.stderr.fileno(), False)
        process.stderr.read()
    seconds = time.perf_counter() - started
    if process.returncode:
        sys.exit(f"{command} failed")
    cost = Cost(seconds, memory, disk, size(out))
    shutil.rmtree(folder)
    return cost


def cool_caches() -> None:
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        print("(file caches are as they were)", flush=True)


def anonymous(process: psutil.Process) -> int:
    """Bytes of anonymous memory of a process and its children."""
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            status = Path(f"/proc/{each.pid}/status").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("RssAnon"))
    return total


def size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # gone in the meantime
            continue
    return total


if __name__ == "__main__":
    main()
