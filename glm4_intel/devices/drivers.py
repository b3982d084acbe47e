"""What an Intel GPU or NPU of this machine still lacks, and how to get it on this system."""

import ctypes.util
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

_INTEL = "0x8086"
_CLASSES = {"0x03": "GPU", "0x12": "NPU"}  # display controllers, processing accelerators (PCI code and ID assignment)
_DRIVER_PAGES = {
    "GPU": "https://dgpu-docs.intel.com/driver/client/overview.html",
    "NPU": "https://github.com/intel/linux-npu-driver/releases",
}
_WINDOWS_PAGE = "https://www.intel.com/content/www/us/en/download-center/home.html"
_PACKAGES: dict[tuple[str, str], str] = {  # (family of distributions, what is missing): command
    ("debian", "opencl"): "sudo apt install ocl-icd-libopencl1",
    ("debian", "runtime"): "sudo apt install intel-opencl-icd",
    ("debian", "level-zero"): "sudo apt install libze1",
    ("fedora", "opencl"): "sudo dnf install OpenCL-ICD-Loader",
    ("fedora", "runtime"): "sudo dnf install intel-compute-runtime",
    ("fedora", "level-zero"): "sudo dnf install oneapi-level-zero",
    ("arch", "opencl"): "sudo pacman -S ocl-icd",
    ("arch", "runtime"): "sudo pacman -S intel-compute-runtime",
    ("arch", "level-zero"): "sudo pacman -S level-zero-loader",
    ("suse", "opencl"): "sudo zypper install libOpenCL1",
    ("suse", "runtime"): "sudo zypper install intel-opencl",
    ("suse", "level-zero"): "sudo zypper install libze_loader1",
    ("ubuntu", "npu"): "sudo snap install intel-npu-driver",
}
_FAMILIES = {"ubuntu": ("ubuntu", "debian"), "debian": ("debian",), "fedora": ("fedora",), "rhel": ("fedora",),
             "arch": ("arch",), "suse": ("suse",), "opensuse": ("suse",)}  # fmt: skip


@dataclass(frozen=True)
class MissingDriver:
    """Something that keeps a device from being used: what is wrong, and what to do."""

    device: str
    problem: str
    remedy: str


def missing_drivers(found: set[str], root: Path = Path("/")) -> list[MissingDriver]:
    """What the devices that OpenVINO has not found still need; `found` are the kinds that it has.

    `root` is where /sys, /dev, /proc and /etc are. A machine without such a device lacks nothing.
    """
    if sys.platform == "win32":
        return [_windows(kind) for kind in ("GPU", "NPU") if kind not in found]
    if _is_wsl(root):
        return [] if "GPU" in found else _wsl(root)
    there = _intel_hardware(root)
    gpu = _gpu(root) if "GPU" in there - found else []
    return gpu + (_npu(root) if "NPU" in there - found else [])


def _gpu(root: Path) -> list[MissingDriver]:
    nodes = _nodes(root, "dev/dri/renderD*")
    lacking = _unreachable("GPU", nodes, "the kernel's driver i915 or xe; a newer kernel may have it", root)
    if not _library(root, "OpenCL", "libOpenCL.so.1"):
        lacking.append(MissingDriver("GPU", "libOpenCL.so.1 is missing", _install(root, "opencl")))
    if not list((root / "etc/OpenCL/vendors").glob("*intel*")):
        lacking.append(MissingDriver("GPU", "Intel's compute runtime is missing", _install(root, "runtime")))
    if not _library(root, "ze_loader", "libze_loader.so.1"):
        lacking.append(MissingDriver("GPU", "Level Zero's loader is missing", _install(root, "level-zero")))
    return lacking or [
        MissingDriver("GPU", "OpenVINO does not find it, though its driver is there", _DRIVER_PAGES["GPU"])
    ]


def _npu(root: Path) -> list[MissingDriver]:
    nodes = _nodes(root, "dev/accel/accel*")
    lacking = _unreachable("NPU", nodes, "the kernel's driver intel_vpu; it comes with Linux 6.6", root)
    if not _library(root, "ze_loader", "libze_loader.so.1"):
        lacking.append(MissingDriver("NPU", "Level Zero's loader is missing", _install(root, "level-zero")))
    if not _library(root, "ze_intel_npu", "libze_intel_npu.so.1"):
        lacking.append(MissingDriver("NPU", "the NPU driver's library is missing", _install(root, "npu")))
    return lacking or [
        MissingDriver("NPU", "OpenVINO does not find it, though its driver is there", _DRIVER_PAGES["NPU"])
    ]


def _unreachable(device: str, nodes: list[Path], driver: str, root: Path) -> list[MissingDriver]:
    """Why the device's file can't be opened, if it can't."""
    if not nodes:
        if (root / ".dockerenv").exists():
            folder = "/dev/dri" if device == "GPU" else "/dev/accel"
            return [
                MissingDriver(
                    device, "the container does not have it", f"docker run --device {folder} --group-add render …"
                )
            ]
        return [MissingDriver(device, "it has no driver in the kernel", f"Install {driver}.")]
    if not any(os.access(node, os.R_OK | os.W_OK) for node in nodes):
        return [MissingDriver(device, f"{nodes[0]} belongs to the group render",
                     "sudo usermod -aG render $USER, then log in again")]  # fmt: skip
    return []


def _intel_hardware(root: Path) -> set[str]:
    """The kinds of Intel devices that sit on the PCI bus."""
    kinds = set()
    for device in (root / "sys/bus/pci/devices").glob("*"):
        if _text(device / "vendor") == _INTEL and (kind := _CLASSES.get(_text(device / "class")[:4])):
            kinds.add(kind)
    return kinds


def _wsl(root: Path) -> list[MissingDriver]:
    if not (root / "dev/dxg").exists():
        return [
            MissingDriver(
                "GPU", "WSL does not pass the GPU on", "In Windows: update its Intel graphics driver, wsl --update"
            )
        ]
    if not _library(root, "OpenCL", "libOpenCL.so.1"):
        return [MissingDriver("GPU", "libOpenCL.so.1 is missing", _install(root, "opencl"))]
    return [MissingDriver("GPU", "Intel's compute runtime is missing", _install(root, "runtime"))]


def _windows(kind: str) -> MissingDriver:
    return MissingDriver(
        kind, f"OpenVINO finds no {kind}", f"If there is one, install Intel's {kind} driver: {_WINDOWS_PAGE}"
    )


def _install(root: Path, what: str) -> str:
    """The command that installs something on this distribution, or the page that tells how."""
    for family in _distribution(root):
        if command := _PACKAGES.get((family, what)):
            return command
    return f"See {_DRIVER_PAGES['NPU' if what == 'npu' else 'GPU']}"


def _distribution(root: Path) -> tuple[str, ...]:
    """The families of this distribution, the nearest first, by /etc/os-release."""
    pairs = [line.partition("=") for line in _text(root / "etc/os-release").splitlines()]
    fields = {key: value.strip('"') for key, _, value in pairs}
    names = [fields.get("ID", ""), *fields.get("ID_LIKE", "").split()]
    return next((_FAMILIES[name] for name in names if name in _FAMILIES), ())


def _library(root: Path, name: str, file: str) -> bool:
    """Whether the system's loader would find a shared library; under another root, whether its file is there."""
    if root == Path("/"):
        return ctypes.util.find_library(name) is not None or bool(_nodes(root, f"usr/lib/*/{file}"))
    return bool(_nodes(root, f"usr/lib/*/{file}"))


def _is_wsl(root: Path) -> bool:
    return "microsoft" in (_text(root / "proc/version") or platform.release()).lower()


def _nodes(root: Path, pattern: str) -> list[Path]:
    return sorted(root.glob(pattern))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
