"""The backends by name; a module is imported when its backend is asked for."""

from importlib import import_module

from ..errors import Glm4Error
from .base import Backend, BackendFactory, EngineOptions

__all__ = ["BACKENDS", "Backend", "BackendFactory", "EngineOptions", "backend_factory"]

BACKENDS: dict[str, tuple[str, str]] = {  # name: (module, extra that installs what it needs)
    "openvino_genai": ("glm4_intel.backends.genai", ""),
    "optimum": ("glm4_intel.backends.optimum", "export"),
}


def backend_factory(name: str) -> BackendFactory:
    """The factory of a backend. Raises Glm4Error if there is none of that name or its packages are missing."""
    if name not in BACKENDS:
        raise Glm4Error(f"There is no backend {name!r}", f"There are {', '.join(BACKENDS)}.")
    module, extra = BACKENDS[name]
    try:
        factory: BackendFactory = import_module(module).create
    except ModuleNotFoundError as error:
        package = f"glm4-intel[{extra}]" if extra else "glm4-intel"
        raise Glm4Error(
            f"The backend {name} needs the package {error.name}", f'Run: pip install "{package}"'
        ) from error
    return factory
