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


def models_folder() -> Path:
    """Where models are kept that are known by name: $GLM4_MODELS, else a folder among the user's data."""
    return Path(os.environ.get("GLM4_MODELS") or data_folder() / "models")


def settings_file() -> Path:
    """The file of the user's own defaults: $GLM4_CONFIG, else config.toml where the platform keeps settings."""
    if own := os.environ.get("GLM4_CONFIG"):
        return Path(own)
    place = os.environ.get("APPDATA") if sys.platform == "win32" else os.environ.get("XDG_CONFIG_HOME")
    return Path(place or Path.home() / ".config") / "glm4-intel" / "config.toml"
