"""The models of this machine by name: which there are, what a name stands for, and how one goes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from .. import __version__
from ..errors import Glm4Error
from ..machine.folders import cache_folder, models_folder
from ..model_directory import MANIFEST, UNFINISHED, Manifest, ModelDirectory, read, read_manifest

NANO = "nano"
"""The name of the tiny model that is installed with the toolkit."""
_IR = "openvino_model.xml"
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_HUB_ID = re.compile(r"(?!.*(--|\.\.|\.git$))\w[\w.-]*/(?=.{1,96}$)\w([\w.-]*\w)?", re.ASCII)


@dataclass(frozen=True)
class NamedModel:
    """A model directory, and the name by which every command takes it."""

    name: str
    directory: ModelDirectory

    @property
    def source(self) -> str:
        """What it was made of; empty where it does not say."""
        return self.directory.manifest.source if self.directory.manifest else ""

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.stat().st_size for file in self.directory.path.rglob("*") if file.is_file())


def named_models() -> Iterator[NamedModel]:
    """The whole models of the models folder, and nano where it has been exported."""
    folder = models_folder()
    entries = [(each.name, each) for each in sorted(folder.iterdir())] if folder.is_dir() else []
    for name, path in [(NANO, nano_folder()), *entries]:
        if is_model(path) and not name.endswith(UNFINISHED):
            try:
                yield NamedModel(name, read(path))
            except Glm4Error:  # damaged: whoever asks for it by name is told
                continue


def find(text: str) -> Path | None:
    """The folder that a name or a path stands for; None where there is none.

    A folder that is no model directory gives way to a model of that name.
    """
    folder, named = Path(text).expanduser(), _named(text)
    if folder.is_dir() and (is_model(folder) or named is None):
        return folder
    return named


def _named(text: str) -> Path | None:
    if text == NANO:
        return nano_folder()
    plain = text not in ("", ".", "..") and Path(text).name == text
    return models_folder() / text if plain and (models_folder() / text).is_dir() else None


def name_of(path: Path) -> str:
    """How a model directory is best named to a command: by its name, if it has one, else by its path."""
    absolute = path.absolute()
    if absolute == nano_folder().absolute():
        return NANO
    return path.name if absolute.parent == models_folder().absolute() else str(path)


def is_hub_id(text: str) -> bool:
    """Whether a text has the form of the name of a repository on the hub, OWNER/NAME (huggingface_hub, repo ids)."""
    return _HUB_ID.fullmatch(text) is not None


def place_for(source: str, recipe: str) -> Path:
    """Where in the models folder an export of a source belongs; it may be there already."""
    tail = Path(source).name or "model"
    base = tail if recipe == "cpu" else f"{tail}-{recipe}"
    names = (base if number == 1 else f"{base}-{number}" for number in count(1))
    return next(place for name in names if _is_for(source, place := models_folder() / name))


def _is_for(source: str, place: Path) -> bool:
    """Whether a place is free, or holds what was made of that source."""
    if not place.exists():
        return True
    manifest = read_manifest(place)
    return manifest is not None and manifest.source == source


def nano_folder(recipe: str = "cpu") -> Path:
    """Where nano's int4 directory is, or will be, as a recipe makes it."""
    return cache_folder() / f"nano-{'int4' if recipe == 'cpu' else recipe}-{__version__}"


def is_model(folder: Path) -> bool:
    """Whether a folder looks like a model directory."""
    return (folder / MANIFEST).is_file() or (folder / _IR).is_file()


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder looks like a checkpoint to export."""
    weights = any(True for pattern in _WEIGHTS for _ in folder.glob(pattern))
    return (folder / "config.json").is_file() and weights and not is_model(folder)


def require_removable(path: Path) -> Manifest:
    """The manifest of a model directory. Raises Glm4Error for anything else."""
    manifest = None if path.is_symlink() else read_manifest(path)
    if manifest is None:
        raise Glm4Error(f"{path} is no model directory with a {MANIFEST}, and nothing else is removed",
                        "See what there is: glm4-intel list")  # fmt: skip
    return manifest


def remove(path: Path) -> list[Path]:
    """Remove the files that a model directory's manifest lists, and the directory; the files that were not its own.

    Where there are such files, they stay, and so does the directory. Raises Glm4Error for a directory without a
    manifest, of which nothing is removed.
    """
    manifest = require_removable(path)
    for file in (
        path / name for name in (*manifest.files, MANIFEST)
    ):  # the manifest last: what is left can be repeated
        if file.parent.resolve().is_relative_to(path.resolve()):
            file.unlink(missing_ok=True)
    left = [file for file in path.rglob("*") if not file.is_dir()]
    for folder in sorted((each for each in (path, *path.rglob("*")) if each.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    return left
