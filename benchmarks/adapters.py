"""The nano model's skills before and after its adapters: several in one model, and each merged into one of its own.

    python benchmarks/adapters.py --count 50

Held-out questions of each adapter's skill, int4 weights (recipe cpu), greedy; right is what is right to the letter.
"""

import argparse
import tempfile
from pathlib import Path

import glm4_intel
from environment import environment
from glm4_demos.nano import ADAPTERS
from glm4_demos.nano.adapter_skills import ADAPTER_SKILLS
from glm4_demos.nano.measure import measure_skill
from glm4_export.making import MakeOptions, make
from glm4_export.openvino.maker import OpenVINOMaker
from glm4_intel import Runtime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50, help="held-out questions a skill")
    args = parser.parse_args()
    folders = {name: ADAPTERS / name for name in ADAPTER_SKILLS if (ADAPTERS / name).is_dir()}
    with tempfile.TemporaryDirectory() as scratch:
        plain = make("nano", Path(scratch, "plain"), OpenVINOMaker())
        with glm4_intel.load(plain, "CPU", profile="throughput", adapters=folders) as runtime:
            table = {name: _row(runtime, name, list(folders), args.count) for name in folders}
        for name, folder in folders.items():
            table[name].append(_merged(name, folder, Path(scratch, name), args.count))
    print(f"\n{environment()}\n")
    print("".join(f"{title:>14}" for title in ("skill", "the model", *folders, "merged")))
    for name, shares in table.items():
        print(f"{name:>14}" + "".join(f"{'–' if share is None else f'{share:.0%}':>14}" for share in shares))


def _row(runtime: Runtime, skill: str, adapters: list[str], count: int) -> list[float | None]:
    """The share that is right without an adapter, and with each of them."""
    asked = ("", *adapters)
    return [measure_skill(runtime, skill, ADAPTER_SKILLS[skill], count, adapter)[0] for adapter in asked]


def _merged(name: str, folder: Path, out: Path, count: int) -> float | None:
    """The share that is right where the adapter was merged before compression; None for virtual tokens."""
    if "PREFIX_TUNING" in (folder / "adapter_config.json").read_text():
        return None
    make("nano", out, OpenVINOMaker(), MakeOptions(adapters=((folder, 1.0),)))
    with glm4_intel.load(out, "CPU", profile="throughput") as runtime:
        return measure_skill(runtime, name, ADAPTER_SKILLS[name], count)[0]


if __name__ == "__main__":
    main()
