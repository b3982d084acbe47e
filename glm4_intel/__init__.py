"""GLM-4 on Intel hardware: load a model directory and talk to it.

import glm4_intel
glm = glm4_intel.load("glm4-int4")
for chunk in glm.stream([{"role": "user", "content": "你好"}]):
    print(chunk.text, end="", flush=True)
"""

import sys
from typing import TYPE_CHECKING, Any

from .errors import Glm4Error

if TYPE_CHECKING:
    from .backends import EngineOptions
    from .chat.conversation import Conversation
    from .chat.generation import Chunk, GenerationParams, Reply
    from .loading import load
    from .runtime import Runtime

# OpenVINO reports its use to a third party through this package, under an id of this user's, and does without where it
# is missing; so do NNCF and OpenVINO's converter. This toolkit tells nobody.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

__version__ = "0.1.0"
__all__ = ["Chunk", "Conversation", "EngineOptions", "GenerationParams", "Glm4Error", "Reply", "Runtime",
           "__version__", "load"]  # fmt: skip

_WHERE = {"load": "loading", "Runtime": "runtime", "EngineOptions": "backends", "Conversation": "chat.conversation",
          "Chunk": "chat.generation", "Reply": "chat.generation", "GenerationParams": "chat.generation"}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for, so that `import glm4_intel` costs next to nothing."""
    if name not in _WHERE:
        raise AttributeError(f"module 'glm4_intel' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_WHERE[name]}", __name__), name)
