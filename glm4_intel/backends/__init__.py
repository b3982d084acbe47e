"""The backends by name; a module is imported when its backend is asked for."""

from dataclasses import dataclass
from importlib import import_module

from ..errors import Glm4Error
from ..machine.packages import installed, pip_command
from ..model_directory import ModelDirectory
from .base import Backend, Engine, Plan, Request
from .options import EngineOptions, LoadOptions

__all__ = ["BACKENDS", "Backend", "BackendEntry", "Engine", "EngineOptions", "LoadOptions", "Plan", "Request",
           "backend_name", "engine", "engine_for"]  # fmt: skip


@dataclass(frozen=True)
class BackendEntry:
    """A backend's row: its module, and what people are told of it and of the directories made for it."""

    module: str
    """Offers `plan`, `create` and `fingerprint`: see `base.Engine`."""
    installation: str
    """Where the packages that it needs come from; empty where pip brings them."""
    packages: tuple[str, ...]
    """Those whose versions belong to a figure that was measured."""
    weights: str
    library: str
    """The hub's name for what reads the weights."""
    tags: tuple[str, ...]
    running: str
    """How a directory is run, in Markdown; DIR stands for it."""


_CHAT = "    glm4-intel chat DIR"
BACKENDS: dict[str, BackendEntry] = {  # the first is taken for a directory that does not say
    "openvino_genai": BackendEntry(
        "glm4_intel.backends.genai", "", ("openvino", "openvino-genai"),
        "OpenVINO IR", "openvino", ("openvino", "nncf"),
        f"{_CHAT}\n\nor with `openvino_genai.LLMPipeline(DIR, \"CPU\")`.",
    ),
    "optimum": BackendEntry(
        "glm4_intel.backends.optimum", "", ("openvino", "optimum-intel"),
        "OpenVINO IR", "openvino", ("openvino", "nncf"), f"{_CHAT} --backend optimum",
    ),
    "itrex": BackendEntry(
        "glm4_intel.backends.itrex",
        "Use the environment of quantize/requirements-itrex.txt; quantize/README.md says how it is made.",
        ("intel-extension-for-transformers",), "weights packed for ITREX's QBits kernels and this processor",
        "transformers", ("itrex",), f"{_CHAT}\n\nin the environment that glm4-intel's quantize/README.md describes.",
    ),
}  # fmt: skip


def engine(name: str) -> Engine:
    """The module of a backend. Raises Glm4Error if there is none of that name or its packages are missing."""
    if name not in BACKENDS:
        raise Glm4Error(f"There is no backend {name!r}", f"There are {', '.join(BACKENDS)}.")
    entry = BACKENDS[name]
    try:
        module: Engine = import_module(entry.module)
    except ImportError as error:
        missing = next((package for package in entry.packages if not installed(package)), error.name or "")
        hint = entry.installation or f"Run: {pip_command(missing.replace('-', '_'))}"
        raise Glm4Error(f"The backend {name} needs the package {missing}", hint) from error
    return module


def backend_name(directory: ModelDirectory, asked: str | None = None) -> str:
    """The name of the backend that was asked for, else of the one that a directory was made for."""
    return asked or directory.backend or next(iter(BACKENDS))


def engine_for(directory: ModelDirectory, asked: str | None = None) -> Engine:
    """The engine of the backend of that name. Raises Glm4Error as `engine` does."""
    return engine(backend_name(directory, asked))
