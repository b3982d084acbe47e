"""Where a checkpoint comes from, and whether it is whole before any work begins."""

import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glm4_intel.artifact import MANIFEST, read_json
from glm4_intel.checkpoints import EMBEDDED, embedded_checkpoint
from glm4_intel.errors import Glm4Error

LAYOUTS = {"glm": "GlmForCausalLM"}  # model_type: architecture that it is exported as
_FETCHED = ["*.json", "*.safetensors", "*.jinja"]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk, checked to be whole."""

    path: Path
    source: str
    revision: str | None
    config: dict[str, Any]
    weight_bytes: int


def resolve(source: str, revision: str | None = None) -> Checkpoint:
    """The checkpoint that `source` names: an embedded one, a folder, or a repository of the Hugging Face hub.

    Raises Glm4Error if there is none, it is no GLM-4, or a shard is missing or cut short.
    """
    path = embedded_checkpoint(source) or Path(source).expanduser()
    if not path.is_dir():
        if path.exists() or not re.fullmatch(r"[\w.-]+/[\w.-]+", source):
            names = ", ".join(EMBEDDED)
            raise Glm4Error(
                f"{source} is no folder and no hub id", f"Give a checkpoint's folder, OWNER/NAME, or {names}."
            )
        path, revision = _download(source, revision)
    config = _read_config(path)
    return Checkpoint(path, source, revision, config, sum(_check_shard(shard) for shard in _shards(path)))


def _download(repository: str, revision: str | None) -> tuple[Path, str]:
    """Fetch a repository with the hub's own progress and resume; its folder and the commit that was fetched."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        folder = Path(snapshot_download(repository, revision=revision, allow_patterns=_FETCHED))
    except RepositoryNotFoundError as error:
        raise Glm4Error(
            f"The hub has no repository {repository}", "Check the name, or log in: hf auth login"
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise Glm4Error(
            f"{repository} can't be fetched: {reason}", "Run it again to resume, or give a folder."
        ) from error
    return folder, folder.name


def _read_config(path: Path) -> dict[str, Any]:
    if (path / MANIFEST).is_file() or (path / "openvino_model.xml").is_file():
        raise Glm4Error(f"{path} is a model directory already", f"Talk to it: glm4-intel chat {path}")
    if not (path / "config.json").is_file():
        raise Glm4Error(f"{path} is no checkpoint: it has no config.json", "Give the folder of a GLM-4 checkpoint.")
    config = read_json(path / "config.json")
    layout = config.get("model_type")
    if layout not in LAYOUTS:
        known = ", ".join(LAYOUTS)
        raise Glm4Error(
            f"{path} has the layout {layout!r}, which is not one of {known}", "Use a -hf checkpoint of GLM-4."
        )
    return config


def _shards(path: Path) -> list[Path]:
    index = path / "model.safetensors.index.json"
    listed = read_json(index).get("weight_map", {}).values() if index.is_file() else ["model.safetensors"]
    names = sorted(set(listed))
    missing = [name for name in names if not (path / name).is_file()]
    if missing or not names:
        what = missing[0] if missing else "weights"
        raise Glm4Error(f"{path} lacks {what}", "Fetch the checkpoint again; a download resumes where it stopped.")
    return [path / name for name in names]


def _check_shard(path: Path) -> int:
    """The bytes of a shard's tensors, after its header has been held against the file's size.

    The format: 8 bytes with the header's length, a JSON header with each tensor's offsets, the tensors
    (https://github.com/huggingface/safetensors#format).
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length)) if length < size else {}
        end = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
    except (struct.error, ValueError, AttributeError, KeyError, TypeError) as error:
        raise Glm4Error(f"{path} is damaged: it has no safetensors header", "Fetch it again.") from error
    if size != 8 + length + end:
        raise Glm4Error(f"{path} is cut short: {size:,} bytes of {8 + length + end:,}", "Fetch it again.")
    return int(end)
