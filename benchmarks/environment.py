"""What a figure depends on: the processor and the versions, in one line for the head of every benchmark."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("openvino", "openvino-genai", "optimum-intel", "nncf", "torch", "transformers")


def environment() -> str:
    """For example: AMD EPYC, 2 cores, Python 3.11.7, openvino 2026.4.1, …"""
    return ", ".join([_processor(), f"{os.cpu_count()} cores", f"Python {platform.python_version()}", *_versions()])


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _versions() -> list[str]:
    found = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return found
