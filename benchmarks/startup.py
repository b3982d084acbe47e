"""How long it takes to be useful, in fresh processes: the help, the import, one reply, the demo's second run.

python benchmarks/startup.py DIR                          # best and median of 10
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from environment import environment

ROUNDS = 10
_IMPORT = "import time; t = time.perf_counter(); import glm4_intel; print(time.perf_counter() - t)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    args = parser.parse_args()
    cli = [sys.executable, "-m", "glm4_intel.cli"]
    print(environment())
    _show("glm4-intel --help", [_wall([*cli, "--help"]) for _ in range(ROUNDS)])
    _show("import glm4_intel", [float(_output([sys.executable, "-c", _IMPORT])) for _ in range(ROUNDS)])
    reply = [*cli, "chat", str(args.model), "--prompt", "What is 17 + 25?"]
    _show("one reply, process and load included", [_wall(reply) for _ in range(ROUNDS)])
    _output([*cli, "demo"])
    _show("demo, second run", [_wall([*cli, "demo"]) for _ in range(ROUNDS)])


def _show(name: str, seconds: list[float]) -> None:
    print(f"{name:38} best {min(seconds):.3f} s, median {statistics.median(seconds):.3f} s")


def _wall(command: list[str]) -> float:
    started = time.perf_counter()
    _output(command)
    return time.perf_counter() - started


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
