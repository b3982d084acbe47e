"""The model that a page's visitors share: which directories there are, which is loaded, and loading another."""

import threading
from dataclasses import replace
from pathlib import Path

from glm4_intel import Glm4Error, Runtime, model_directory
from glm4_intel.loading import LoadOptions, Progress, load_as
from glm4_intel.model_directory import MANIFEST


class Models:
    """One runtime at a time, replaced when another model or device is chosen."""

    def __init__(self, folder: Path, options: LoadOptions) -> None:
        self._folder, self._options = folder, options
        self._lock = threading.Lock()
        self._runtime: Runtime | None = None
        self._backend = ""
        self.directory = folder
        self.device = options.device

    @property
    def runtime(self) -> Runtime:
        """The loaded model. Raises Glm4Error where none is."""
        if self._runtime is None:
            raise Glm4Error("No model is loaded", "Choose one and press Load.")
        return self._runtime

    @property
    def backend(self) -> str:
        """The name of the backend that runs the model."""
        return self._backend

    @property
    def trims(self) -> bool:
        return self._options.history == "trim"

    def there(self) -> list[Path]:
        """The model directories in the folder, or the one that was given."""
        if is_model(self._folder):
            siblings = [each for each in sorted(self._folder.parent.iterdir()) if is_model(each)]
            return [self._folder, *(each for each in siblings if each != self._folder)]
        return [each for each in sorted(self._folder.iterdir()) if each.is_dir() and is_model(each)]

    def load(self, directory: Path, device: str, progress: Progress) -> None:
        """Load a model in the place of the one before. Raises Glm4Error; the one before then stays."""
        if directory not in self.there():
            raise Glm4Error(f"{directory} is not among the models here", "Choose one of the list.")
        if not self._lock.acquire(blocking=False):
            raise Glm4Error("Another model is being loaded", "Try again when that is done.")
        try:
            self._runtime = load_as(directory, replace(self._options, device=device), progress)
            self._backend = self._options.backend or model_directory.read(directory).backend
            self.directory, self.device = directory, device
        finally:
            self._lock.release()


def is_model(folder: Path) -> bool:
    """Whether a folder looks like a model directory."""
    return (folder / MANIFEST).is_file() or (folder / "openvino_model.xml").is_file()
