"""`glm4-intel bench MODEL`: time to the first token, time a token, memory, and how near decoding is to memory."""

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Glm4Error
from .model_arguments import add_model_arguments, load_options
from .model_names import NANO, find, nano_folder
from .models import MODEL_HELP, model_path
from .output import print_json, table
from .status_line import StatusLine

if TYPE_CHECKING:
    from ..loading import LoadOptions
    from .measuring import Contestant, Workload


@dataclass(frozen=True, kw_only=True)
class BenchArguments:
    model: Path
    load: "LoadOptions"
    workload: "Workload"
    compare_with: list[str]
    plot: Path | None
    json: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("--prompt-lengths", default="32,512", metavar="N,N,…", help="tokens (default 32,512)")
    parser.add_argument("--new-tokens", type=int, default=32, metavar="N", help="tokens of each reply (default 32)")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="runs of which the median counts (default 3)")
    parser.add_argument("--concurrency", type=int, default=1, metavar="N", help="replies at once (default 1)")
    parser.add_argument("--compare-with", action="append", default=[], metavar="OTHER",
                        help="another MODEL, backend, profile, device or KEY=VALUE; repeatable")  # fmt: skip
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the figures over the prompt lengths (png, svg)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from .measuring import Workload

    workload = Workload(
        prompt_lengths=_lengths(args.prompt_lengths),
        new_tokens=args.new_tokens,
        runs=args.runs,
        concurrency=args.concurrency,
    )
    if args.plot:
        _require_plotting(args.plot)
    load = load_options(args)
    options = BenchArguments(
        model=model_path(args.model, load.device), load=load, workload=workload, compare_with=args.compare_with,
        plot=args.plot, json=args.json,
    )  # fmt: skip
    report = _measured(options)
    print_json(report, indent=2) if options.json else print(_as_text(report))
    if options.plot:
        _plot(report, options.plot)
    return 0


def _measured(options: BenchArguments) -> dict[str, Any]:
    from ..machine.processor import processor

    contestants = _contestants(options)
    with _shown(len(contestants) * options.workload.steps) as told:
        results = [contestant.measure(options.workload, told) for contestant in contestants]
    machine = processor()
    return {
        "processor": machine.name,
        "cores": machine.usable_cores,
        "instruction_sets": machine.instruction_sets,
        "versions": _versions(),
        "read_bandwidth": max(result.read_bandwidth for result in results),
        "new_tokens": options.workload.new_tokens,
        "runs": options.workload.runs,
        "concurrency": options.workload.concurrency,
        "results": [result.to_dict() for result in results],
    }


def _contestants(options: BenchArguments) -> "list[Contestant]":
    """Those that are asked for. Raises Glm4Error for one whose directory can't be read, before any is loaded."""
    from .measuring import Contestant

    entries = [(options.model, options.load), *(_other(text, options) for text in options.compare_with)]
    labels = _labels([path for path, _ in entries])
    return [Contestant(_name(labels[path], load), path, load) for path, load in entries]


def _other(text: str, options: BenchArguments) -> "tuple[Path, LoadOptions]":
    """What `--compare-with` names. Raises Glm4Error if it is none of the kinds."""
    from ..backends import BACKENDS
    from ..devices import PROFILES, parse_properties

    if text in BACKENDS:
        return options.model, replace(options.load, backend=text)
    if re.fullmatch(r"(CPU|GPU|NPU)(\.\d+)?", text.upper()):
        return options.model, replace(options.load, device=text)
    if text in PROFILES:
        return options.model, replace(options.load, profile=text)
    if find(text):
        return model_path(text, options.load.device), options.load
    if "=" in text:
        return options.model, replace(options.load, properties={**options.load.properties, **parse_properties([text])})
    known = ", ".join([*BACKENDS, *PROFILES])
    raise Glm4Error(f"--compare-with {text} is no directory, backend, profile or KEY=VALUE", f"There are {known}.")


def _labels(paths: list[Path]) -> dict[Path, str]:
    """What each directory is called: no more of its path than tells it from the others."""
    absolute = {path: path.absolute() for path in paths}
    for depth in range(1, max(len(path.parts) for path in absolute.values()) + 1):
        labels = {path: Path(*full.parts[-depth:]).as_posix() for path, full in absolute.items()}
        if len(set(labels.values())) == len(set(absolute.values())):
            break
    return labels | {path: NANO for path in paths if path == nano_folder()}


def _name(label: str, load: "LoadOptions") -> str:
    """Everything in which contestants can differ, but for the device, which is a column of its own."""
    changed = [f"{key}={value}" for key, value in load.properties.items()]
    return " ".join([label, load.profile, *([load.backend] if load.backend else []), *changed])


def _lengths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise Glm4Error(
            f"--prompt-lengths {text} is not a list of whole numbers", "For example: --prompt-lengths 32,512,2048"
        ) from None


def _versions() -> dict[str, str]:
    """Of Python and of every engine's packages that are here."""
    from ..backends import BACKENDS
    from ..machine.packages import versions

    return versions(dict.fromkeys(package for entry in BACKENDS.values() for package in entry.packages))


def _as_text(report: dict[str, Any]) -> str:
    """A table in Markdown, to be pasted, under a line that says where it was taken."""
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    head = ["model", "device", "load s", "cold TTFT ms", "memory GB", "GB/s", "prompt", "TTFT ms", "TPOT ms",
            "tokens/s", "of bandwidth"]  # fmt: skip
    rows = [_row(result, measured) for result in report["results"] for measured in result["measured"]]
    return "\n".join(
        [
            f"{report['processor']}, {report['cores']} cores; {versions}; "
            f"{report['new_tokens']} tokens, {report['concurrency']} at once, medians of {report['runs']} runs",
            "",
            *table(head, rows),
        ]
    )


def _row(result: dict[str, Any], measured: dict[str, Any]) -> list[str]:
    return [
        result["name"],
        result["device"],
        f"{result['load']:.1f}",
        f"{result['cold_time_to_first_token'] * 1e3:.0f}",
        f"{result['memory'] / 1e9:.2f}",
        f"{result['read_bandwidth'] / 1e9:.1f}",
        f"{measured['prompt_tokens']}",
        f"{measured['time_to_first_token'] * 1e3:.1f}",
        f"{measured['time_per_token'] * 1e3:.2f}",
        f"{measured['tokens_per_second']:.1f}",
        f"{measured['bandwidth_share']:.0%}",
    ]


def _require_plotting(file: Path) -> None:
    import matplotlib  # noqa: F401  # its absence is told before the runs, not after

    if file.suffix not in (".png", ".svg", ".pdf"):
        raise Glm4Error(f"{file} is no picture's name", "Give one that ends with .png, .svg or .pdf.")
    if not file.parent.is_dir():
        raise Glm4Error(f"There is no folder {file.parent}", "Make it first.")


def _plot(report: dict[str, Any], file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    first, each = figure.subplots(1, 2)
    for result in report["results"]:
        lengths = [row["prompt_tokens"] for row in result["measured"]]
        for axes, key in ((first, "time_to_first_token"), (each, "time_per_token")):
            axes.plot(lengths, [row[key] * 1e3 for row in result["measured"]], marker="o", label=result["name"])
    for axes, title in ((first, "time to first token, ms"), (each, "time per token, ms")):
        axes.set(title=title, xlabel="prompt, tokens")
        axes.set_ylim(bottom=0)
    first.legend()
    figure.suptitle(f"{report['processor']}, {report['cores']} cores")
    figure.savefig(file)


@contextmanager
def _shown(steps: int) -> "Iterator[Callable[[str], None]]":
    """One bar over all contestants in a terminal, a line for each step in a log file."""
    line, done = StatusLine(), 0

    def told(text: str) -> None:
        nonlocal done
        if line.live:
            line.show(text, done / steps)
        else:
            print(f"{text} …", file=sys.stderr, flush=True)
        done += 1

    try:
        yield told
    finally:
        line.clear()
