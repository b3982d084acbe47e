"""`glm4-intel doctor`: what OpenVINO finds on this machine."""

import argparse
import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class DoctorArguments:
    json: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    options = DoctorArguments(args.json)
    from ..devices import discover

    devices = discover()
    if options.json:
        print(json.dumps({"openvino": _version(), "devices": [asdict(device) for device in devices]}, indent=2))
        return 0
    print(f"OpenVINO {_version()}")
    for device in devices:
        print(f"{device.name:8}{device.full_name}")
    kinds = {device.kind for device in devices}
    for kind, driver in (
        ("GPU", "Intel's compute runtime (libOpenCL and intel-opencl-icd)"),
        ("NPU", "the NPU driver"),
    ):
        if kind not in kinds:
            print(f"{kind:8}none found; if this machine has one, install {driver}")
    return 0


def _version() -> str:
    import openvino

    return str(openvino.get_version())
