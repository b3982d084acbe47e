"""`glm4-intel doctor [MODEL …]`: what this machine has, what it lacks and how to get that, and what fits on it."""

import argparse
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Glm4Error
from .model_names import NANO, find
from .models import nano
from .output import print_json

if TYPE_CHECKING:
    from ..devices import Device, Machine


@dataclass(frozen=True)
class DoctorArguments:
    directories: list[Path]
    properties: bool
    json: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", metavar="MODEL", nargs="*", help="models to judge: names or directories")
    parser.add_argument("--properties", action="store_true", help="each profile's properties, and why")
    parser.add_argument("--try", dest="try_device", metavar="DEVICE", help="run nano on a device and write a report")
    parser.add_argument("--report", type=Path, metavar="FILE", help="where to (default glm4-intel-report-DEVICE.json)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    if args.try_device:
        return _try(args.try_device, args.report)
    options = DoctorArguments([_directory(text) for text in args.models], args.properties, args.json)
    if options.properties:
        found = _profiles()
        print_json(found, indent=2) if options.json else print(_profiles_as_text(found))
        return 0
    report = examine(options.directories)
    print_json(report, indent=2) if options.json else print(_as_text(report))
    return 0


def _try(device: str, report_file: Path | None) -> int:
    """Nano on a device; 0 where it computes what the CPU computes."""
    from .trying import try_device

    file = report_file or Path(f"glm4-intel-report-{device.upper()}.json")
    if not file.absolute().parent.is_dir():
        raise Glm4Error(f"There is no folder {file.parent}", "Make it first.")
    report = try_device(device, file)
    print(*(f"{key:18}{report[key]}" for key in TOLD if report.get(key) is not None), sep="\n")
    print(f"The report, which holds no names and no paths, is {file}", file=sys.stderr)
    return 0 if report["verdict"] == "agrees" else 1


TOLD = ("tried", "verdict", "error", "same_replies", "logits_difference", "load_seconds", "first_token_ms",
        "tokens_per_second")  # fmt: skip


def _directory(text: str) -> Path:
    """A model that exists or is nano; no checkpoint is exported to be judged."""
    return nano() if text == NANO else find(text) or Path(text)


def examine(directories: list[Path]) -> dict[str, Any]:
    """Everything that `doctor` knows, as JSON-like data."""
    from ..agent.python_tool import walls
    from ..devices import Machine
    from ..devices.drivers import missing_drivers
    from ..machine.memory import available_memory, total_memory
    from ..machine.processor import processor
    from .fitting import judge_fit

    devices, problem = _devices()
    missing = [asdict(lack) for lack in missing_drivers({device.kind for device in devices})]
    if problem:
        missing.insert(0, problem)
    return {
        "openvino": _version(),
        "processor": asdict(processor()),
        "memory": {"total": total_memory(), "available": available_memory()},
        "devices": [asdict(device) | {"kind": device.description} for device in devices],
        "missing": missing,
        "recipe": _recipe(devices, available_memory()),
        "python_tool": asdict(walls()) | {"said": str(walls())},
        "models": [judge(directory, Machine(devices or None)) for directory in directories],
        "fit": None if directories else judge_fit(Machine(devices)),
    }


def judge(path: Path, machine: "Machine") -> dict[str, Any]:
    """How a model directory would be loaded here, or why it can't be."""
    from .. import model_directory
    from ..backends import LoadOptions, engine_for

    try:
        directory = model_directory.read(path)
        plan = engine_for(directory).plan(directory, LoadOptions(), machine)
    except Glm4Error as error:
        return {"directory": str(path), "runs": False, "problem": str(error), "hint": error.hint}
    return {
        "directory": str(path),
        "runs": True,
        "device": plan.device.name,
        "reason": plan.reason,
        "longest_context": plan.context,
        "weights": plan.footprint.weights,
        "bytes": asdict(plan.footprint) | {"total": plan.footprint.total},
        "note": plan.note,
    }


def _devices() -> "tuple[list[Device], dict[str, str] | None]":
    """The devices, and what is wrong with OpenVINO itself if it can't list them."""
    from ..devices import discover

    try:
        devices = discover()
    except Glm4Error as error:
        remedy = f"{error.hint}; without it, directories made for another engine alone can run"
        return [], {"device": "all", "problem": str(error), "remedy": remedy}
    if not any(device.kind == "CPU" for device in devices):
        remedy = "pip install --force-reinstall openvino"
        return devices, {"device": "CPU", "problem": "OpenVINO's CPU plugin does not load", "remedy": remedy}
    return devices, None


def _recipe(devices: "list[Device]", memory: int) -> dict[str, str]:
    """The recipe to export with on this machine, and why."""
    from ..devices import reference_model
    from ..machine.processor import instruction_sets

    kinds = {device.description for device in devices}
    if "discrete GPU" in kinds:
        return {"name": "gpu", "reason": "a discrete Arc GPU is the fastest device here"}
    if kinds == {"CPU"} and "AMX-INT8" in instruction_sets():
        needed = reference_model.needed(reference_model.INT8_PREFILL_WEIGHTS).total
        if needed <= memory:
            return {
                "name": "cpu-int8-prefill",
                "reason": "with AMX, prompts in int8 take 0.5 to 0.7 of the time; it fits",
            }
        wants = f"{needed / 1e9:.0f} GB of memory"
        return {"name": "cpu", "reason": f"cpu-int8-prefill would halve the time of prompts, but wants {wants}"}
    if "NPU" in kinds and "integrated GPU" not in kinds:
        return {"name": "cpu", "reason": "the CPU is faster; take npu to leave it free for other work"}
    return {"name": "cpu", "reason": "runs on the CPU and on a GPU alike, and decodes fastest there"}


def _profiles() -> dict[str, Any]:
    from ..devices.profiles import profile_rows

    return {name: [asdict(setting) for setting in rows] for name, rows in profile_rows().items()}


def _profiles_as_text(found: dict[str, Any]) -> str:
    lines = []
    for name, rows in found.items():
        lines += [name, *(f"  {row['key']}={row['value']}\n      {row['reason']}" for row in rows), ""]
    return "\n".join(lines).rstrip()


def _as_text(report: dict[str, Any]) -> str:
    lines = [
        f"OpenVINO {report['openvino'] or 'is not installed'}",
        *_processor_lines(report["processor"]),
        _memory_line(report["memory"]),
    ]
    for device in report["devices"]:
        memory = f", {device['memory'] / 1e9:.0f} GB" if device["memory"] else ""
        driver = f", driver {device['driver']}" if device["driver"] else ""
        computes = f": {', '.join(device['capabilities'])}" if device["capabilities"] else ""
        lines.append(f"{device['name']:8}{device['full_name']} ({device['kind']}{memory}{driver}){computes}")
    for lack in report["missing"]:
        lines += [f"{lack['device']:8}{lack['problem']}", f"        → {lack['remedy']}"]
    lines.append(f"recipe  {report['recipe']['name']}: {report['recipe']['reason']}")
    lines.append(f"python  the model's code, where that tool is on: {report['python_tool']['said']}")
    if report["fit"]:
        from .fitting import fit_lines

        lines += ["", *fit_lines(report["fit"])]
    for model in report["models"]:
        lines += _model_lines(model)
    return "\n".join(lines)


def _processor_lines(processor: dict[str, Any]) -> list[str]:
    kinds = f"{processor['performance_cores']} fast and {processor['efficient_cores']} efficient processors, "
    hybrid = kinds if processor["efficient_cores"] else ""
    nodes = f", {processor['numa_nodes']} NUMA nodes" if processor["numa_nodes"] > 1 else ""
    lines = [f"        {processor['physical_cores']} cores, {hybrid}{processor['usable_cores']} usable{nodes}"
             f"; {' '.join(processor['instruction_sets']) or 'instruction sets unknown'}"]  # fmt: skip
    if processor["quota"] is not None:
        lines.append(f"        a control group grants {processor['quota']:g} cores of processor time")
    return lines


def _memory_line(memory: dict[str, int]) -> str:
    return f"memory  {memory['available'] / 1e9:.1f} GB free of {memory['total'] / 1e9:.1f}"


def _model_lines(model: dict[str, Any]) -> list[str]:
    if not model["runs"]:
        return [f"{model['directory']}: {model['problem']}", f"        → {model['hint']}"]
    line = (
        f"{model['directory']}: {model['weights'] / 1e9:.2f} GB of weights, on {model['device']} ({model['reason']}), "
        f"context up to {model['longest_context']:,} tokens, {model['bytes']['total'] / 1e9:.2f} GB of memory"
    )
    return [line, f"        {model['note']}"] if model["note"] else [line]


def _version() -> str | None:
    try:
        import openvino
    except ImportError:
        return None
    return str(openvino.get_version())
