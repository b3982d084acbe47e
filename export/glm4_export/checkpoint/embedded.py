"""Checkpoints that are installed with the toolkit, by the name that stands for them.

They are data of other packages: the table says where each lies, and no code of those packages is called.
"""

from importlib import resources
from pathlib import Path

from glm4_intel.errors import Glm4Error

EMBEDDED: dict[str, tuple[str, str]] = {"nano": ("glm4_demos.nano", "checkpoint")}  # name: (package, folder in it)


def embedded_checkpoint(name: str) -> Path | None:
    """The folder of an embedded checkpoint, None if there is none of that name.

    Raises Glm4Error where the package that holds it is not installed.
    """
    if name not in EMBEDDED:
        return None
    package, folder = EMBEDDED[name]
    try:
        return Path(str(resources.files(package) / folder))
    except ModuleNotFoundError as error:
        raise Glm4Error(
            f"The checkpoint {name} is not installed", "Install glm4-intel again: pip install . in its folder"
        ) from error
