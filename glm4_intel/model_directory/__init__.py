"""The model directory: what passes between making a model and running it, and its manifest `glm4.json`."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from reprlib import repr as shown
from typing import Any

from ..errors import Glm4Error

MANIFEST = "glm4.json"
FORMAT_VERSION = 1
UNFINISHED = ".partial"
"""Suffix of the sibling folder in which a model directory grows until its manifest is written."""
_OPENVINO_FILES = (
    "openvino_model.xml", "openvino_model.bin", "openvino_tokenizer.xml", "openvino_tokenizer.bin",
    "openvino_detokenizer.xml", "openvino_detokenizer.bin", "tokenizer.json", "config.json",
)  # fmt: skip
SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
         "head_dim", "vocab_size", "max_position_embeddings")  # fmt: skip
_LARGEST_SIZE = 1 << 24
_AGAIN = "Copy or export the model again."
_HASHED_ON_LOAD = 64 << 20
"""Files up to this size are hashed at every load; of larger ones the size is checked."""


@dataclass(frozen=True)
class FileRecord:
    """Size in bytes and SHA-256 of a file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What `glm4.json` records of a model directory; written last, so that a directory with one is whole."""

    backend: str
    source: str
    revision: str | None
    architecture: str
    recipe: dict[str, Any]
    targets: list[str]
    libraries: dict[str, str]
    stop_ids: list[int]
    context_length: int
    generation: dict[str, Any]
    verification: dict[str, Any] | None
    chats: bool = True
    """False for a base model, which completes text."""
    adapters: list[dict[str, Any]] = field(default_factory=list)
    """Those that were merged into the weights, in their order: name, kind, scale, base, and the file's SHA-256."""
    files: dict[str, FileRecord] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Manifest":
        """Raises TypeError, ValueError or KeyError where the data is not a manifest's."""
        files = {_inside(name): FileRecord(**record) for name, record in data["files"].items()}
        manifest = cls(**{**data, "files": files})
        for name, kind in _KINDS.items():
            if not isinstance(getattr(manifest, name), kind):
                raise TypeError(f"its {name} is {shown(getattr(manifest, name))}")
        if not all(isinstance(file.size, int) and isinstance(file.sha256, str) for file in files.values()):
            raise TypeError("a file's record is not a size and a SHA-256")
        return manifest


_KINDS: dict[str, Any] = {
    "backend": str, "source": str, "architecture": str, "recipe": dict, "targets": list, "stop_ids": list,
    "context_length": int, "generation": dict, "verification": (dict, type(None)), "chats": bool, "adapters": list,
}  # fmt: skip


def _inside(name: str) -> str:
    """A file's name, which lies in the directory. Raises ValueError for one that does not, or that no file has."""
    path = PurePosixPath(name)
    if (
        not name
        or "\0" in name
        or len(name) > 255
        or path.is_absolute()
        or ".." in path.parts
        or "\\" in name
        or ":" in name
    ):
        raise ValueError(f"the file {shown(name)} lies outside of the directory")
    return name


@dataclass(frozen=True)
class ModelDirectory:
    """A model directory as found: its path, its configuration, and its manifest if it has one."""

    path: Path
    config: dict[str, Any]
    generation: dict[str, Any]
    manifest: Manifest | None

    @property
    def backend(self) -> str | None:
        """The name of the backend that it was made for, where it says so."""
        return self.manifest.backend if self.manifest else None

    @property
    def context_length(self) -> int:
        """Tokens that prompt and reply may have together."""
        return int(self.config["max_position_embeddings"])


def read(path: str | Path) -> ModelDirectory:
    """Open a model directory and check its files. Raises Glm4Error saying what is missing or damaged."""
    directory = Path(path)
    require_text(directory)
    if not directory.is_dir():
        raise Glm4Error(f"There is no model directory {directory}", "Make one with: glm4-intel export SOURCE OUT")
    manifest = read_manifest(directory)
    if manifest is None and directory.name.endswith(UNFINISHED):
        raise Glm4Error(f"{directory} is an unfinished export", "Run the export again.")
    if manifest:
        _check_files(directory, manifest)
    else:
        _check_names(directory)
    config = read_json(directory / "config.json")
    if not isinstance(config.get("max_position_embeddings"), int):
        raise Glm4Error(f"{directory / 'config.json'} states no max_position_embeddings", "Export the model again.")
    stated = {name: value for name, value in config.items() if value is not None}
    require_sizes(directory / "config.json", dict.fromkeys(SIZES, 1) | stated)
    generation = directory / "generation_config.json"
    return ModelDirectory(directory, config, read_json(generation) if generation.is_file() else {}, manifest)


def require_text(path: Path) -> None:
    """Raises Glm4Error for a path with bytes in it that are no UTF-8: the engine's libraries take text alone."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise Glm4Error(f"{ascii(str(path))} is no name in UTF-8", "Rename the folder.") from error


def record(path: Path) -> FileRecord:
    """The record of a file as it is now."""
    return FileRecord(path.stat().st_size, sha256(path))


def write_manifest(directory: Path, manifest: Manifest, recorded: Mapping[str, FileRecord] | None = None) -> None:
    """Record every file of the directory and write `glm4.json` in one step, as the last of them.

    `recorded` files, by name, are not read again.
    """
    known = recorded or {}
    paths = {path.relative_to(directory).as_posix(): path for path in sorted(directory.rglob("*")) if path.is_file()}
    files = {name: known.get(name) or record(path) for name, path in paths.items() if name != MANIFEST}
    text = json.dumps({**asdict(manifest), "files": {name: asdict(file) for name, file in files.items()}},
                      ensure_ascii=False, indent=2)  # fmt: skip
    temporary = directory / f"{MANIFEST}.tmp"
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(directory / MANIFEST)


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises Glm4Error naming the file."""
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text)
        if "\\ud" in text.lower():  # halves of surrogate pairs are no text, and can't be written again
            json.dumps(data, ensure_ascii=False).encode()
    except (OSError, ValueError, RecursionError) as error:
        raise Glm4Error(f"{path} can't be read: {error}", "Fetch or export it again.") from error
    if not isinstance(data, dict):
        raise Glm4Error(f"{path} holds no JSON object", "Fetch or export it again.")
    return data


def require_sizes(file: Path, config: Mapping[str, Any]) -> None:
    """Raises Glm4Error for a config whose sizes no model has."""
    for name in SIZES:
        size = config.get(name)
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= _LARGEST_SIZE:
            said = f"{size!r:.40}"
            raise Glm4Error(f"{file} has {name} {said}, not a number from 1 to {_LARGEST_SIZE:,}", "Fetch it again.")


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """A JSON object to a file, as people read it."""
    path.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def read_manifest(directory: Path) -> Manifest | None:
    """The manifest, None where there is none; the files are not looked at. Raises Glm4Error for a damaged one."""
    path = directory / MANIFEST
    if not path.is_file():
        return None
    data = read_json(path)
    version = data.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise Glm4Error(f"{path} has format {shown(version)}, newer than {FORMAT_VERSION}", "Upgrade glm4-intel.")
    try:
        return Manifest.from_dict(data)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise Glm4Error(f"{path} is not a manifest: {error}", "Export the model again.") from error


def _check_names(directory: Path) -> None:
    """A directory without a manifest may be another tool's; anything else is told what it is."""
    missing = [name for name in _OPENVINO_FILES if not (directory / name).is_file()]
    if not missing:
        return
    config = directory / "config.json"
    if config.is_file() and re.search(r'"Glm|"ChatGLM', config.read_text(encoding="utf-8")):
        raise Glm4Error(
            f"{directory} has no {missing[0]}", f"It looks like a checkpoint: glm4-intel export {directory} OUT"
        )
    raise Glm4Error(f"{directory} is not a model directory: it has no {missing[0]}", "See glm4-intel export --help.")


def check_hashes(directory: Path, manifest: Manifest) -> None:
    """Compare every file's SHA-256, however large, with the manifest's. Raises Glm4Error naming one that differs."""
    for name, record in manifest.files.items():
        _check_hash(directory / name, record)


def _check_files(directory: Path, manifest: Manifest) -> None:
    """Sizes of all the files that the manifest lists, and hashes of the small ones."""
    for name, record in manifest.files.items():
        file = directory / name
        if not file.is_file():
            raise Glm4Error(f"{directory} lacks {name}", _AGAIN)
        size = file.stat().st_size
        if size != record.size:
            raise Glm4Error(f"{file} has {size:,} bytes, not the {record.size:,} that {MANIFEST} records", _AGAIN)
        if size <= _HASHED_ON_LOAD:
            _check_hash(file, record)


def _check_hash(file: Path, record: FileRecord) -> None:
    if sha256(file) != record.sha256:
        raise Glm4Error(f"{file} has changed: its SHA-256 is not the one that {MANIFEST} records", _AGAIN)
