"""The backends by name; a module is imported when its backend is asked for."""

from importlib import import_module

from ..errors import Glm4Error
from .base import Backend, BackendFactory, EngineOptions

__all__ = ["BACKENDS", "Backend", "BackendFactory", "EngineOptions", "backend_factory"]

BACKENDS: dict[str, tuple[str, str]] = {  # name: (module, where what it needs comes from)
    "openvino_genai": ("glm4_intel.backends.genai", "Run: pip install glm4-intel"),
    "optimum": ("glm4_intel.backends.optimum", 'Run: pip install "glm4-intel[export]"'),
    "itrex": ("glm4_intel.backends.itrex", "Use the environment of quantize/requirements-itrex.txt; quantize/README.md "
              "says how it is made."),
}  # fmt: skip


def backend_factory(name: str) -> BackendFactory:
    """The factory of a backend. Raises Glm4Error if there is none of that name or its packages are missing."""
    if name not in BACKENDS:
        raise Glm4Error(f"There is no backend {name!r}", f"There are {', '.join(BACKENDS)}.")
    module, source = BACKENDS[name]
    try:
        factory: BackendFactory = import_module(module).create
    except ImportError as error:
        raise Glm4Error(f"The backend {name} needs the package {error.name}", source) from error
    return factory
