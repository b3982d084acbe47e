"""Checkpoints that ship with the toolkit, by the name that stands for them on the command line.

Like the command table, this names modules without importing them: who asks need not know where a checkpoint lives.
"""

from importlib import import_module
from pathlib import Path

EMBEDDED = {"nano": "glm4_demos.nano"}


def embedded_checkpoint(name: str) -> Path | None:
    """The folder of an embedded checkpoint, or None if there is none of that name."""
    return Path(import_module(EMBEDDED[name]).CHECKPOINT) if name in EMBEDDED else None
