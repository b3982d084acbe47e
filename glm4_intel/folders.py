"""Where the toolkit keeps what outlives a process: compiled kernels, histories, conversations."""

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """The user's cache folder for this toolkit: $GLM4_CACHE, else where the platform keeps such things."""
    if own := os.environ.get("GLM4_CACHE"):
        return Path(own)
    home = Path.home()
    places = {"win32": os.environ.get("LOCALAPPDATA") or home / "AppData/Local", "darwin": home / "Library/Caches"}
    return Path(places.get(sys.platform) or os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "glm4-intel"
