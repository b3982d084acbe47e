"""Where the toolkit keeps what outlives a process: what can be made again, and what can't."""

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


def data_folder() -> Path:
    """The user's folder for what can't be made again, conversations: $GLM4_DATA, else where the platform keeps data."""
    if own := os.environ.get("GLM4_DATA"):
        return Path(own)
    home = Path.home()
    places = {"win32": os.environ.get("LOCALAPPDATA") or home / "AppData/Local",
              "darwin": home / "Library/Application Support"}  # fmt: skip
    place = Path(places.get(sys.platform) or os.environ.get("XDG_DATA_HOME") or home / ".local/share")
    return place / "glm4-intel"
