"""The model that a page's visitors share: which directories there are, which is loaded, and loading another."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from glm4_intel import Glm4Error, Runtime, model_directory
from glm4_intel.backends import backend_name
from glm4_intel.commands.model_names import is_model
from glm4_intel.loading import LoadOptions, Progress, load_as, load_in_place_of
from glm4_intel.serving.client import ServerRuntime, served_models
from glm4_intel.serving.exchange import Server


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model as it was loaded. What it says of itself can be read when it is closed, too."""

    directory: Path
    device: str
    """As it was asked for, AUTO for example; `runtime.device` is the one that was taken."""
    backend: str
    runtime: Runtime | ServerRuntime


class Models:
    """One model at a time. Another takes its place: the old one is closed before the new one is loaded."""

    def __init__(self, folder: Path, options: LoadOptions) -> None:
        self._folder, self._options = folder, options
        self._lock = threading.Lock()
        self._loaded: Loaded | None = None

    @property
    def loaded(self) -> Loaded:
        """The model that is loaded, or was last. Raises Glm4Error before the first."""
        if self._loaded is None:
            raise Glm4Error("No model is loaded", "Choose one and press Load.")
        return self._loaded

    @property
    def runtime(self) -> Runtime | ServerRuntime:
        """What answers. Raises Glm4Error where no model is loaded, and while another takes its place."""
        if self.loaded.runtime.closed and self._lock.locked():
            raise Glm4Error("Another model is being loaded", "Ask again when that is done.")
        return self.loaded.runtime

    @property
    def trims(self) -> bool:
        """Whether a conversation that is too long for the context loses its oldest part."""
        return self._options.history == "trim"

    def available(self) -> list[Path]:
        """The model directories in the folder; where it is one itself, it and those beside it."""
        if is_model(self._folder):
            siblings = [each for each in sorted(self._folder.parent.iterdir()) if is_model(each)]
            return [self._folder, *(each for each in siblings if each != self._folder)]
        return [each for each in sorted(self._folder.iterdir()) if each.is_dir() and is_model(each)]

    def load(self, directory: Path, device: str, progress: Progress) -> None:
        """Load a model in the place of the one before.

        Raises Glm4Error where it can't be loaded: the one before stays, or is loaded again if it was closed already.
        """
        if directory not in self.available():
            raise Glm4Error(f"{directory} is not among the models here", "Choose one of the list.")
        with self._one_at_a_time():
            old = self._loaded
            try:
                self._loaded = self._in_place_of(old, directory, device, progress)
            except Glm4Error:
                if old and old.runtime.closed:
                    self._loaded = self._again(old, progress)
                raise

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        if not self._lock.acquire(blocking=False):
            raise Glm4Error("Another model is being loaded", "Try again when that is done.")
        try:
            yield
        finally:
            self._lock.release()

    def _in_place_of(self, old: Loaded | None, directory: Path, device: str, progress: Progress) -> Loaded:
        options = replace(self._options, device=device)
        backend = backend_name(model_directory.read(directory), options.backend)
        closing = old.runtime if old and isinstance(old.runtime, Runtime) else None
        runtime = load_in_place_of(closing, directory, options, progress)
        return Loaded(directory=directory, device=device, backend=backend, runtime=runtime)

    def _again(self, old: Loaded, progress: Progress) -> Loaded:
        return replace(old, runtime=load_as(old.directory, replace(self._options, device=old.device), progress))


class ServerModels(Models):
    """The models of a server that is running; their directories are names alone."""

    def __init__(self, server: Server, first: str | None, options: LoadOptions) -> None:
        """Raises Glm4Error where there is no server, it refuses the key, or it has no model of the name."""
        super().__init__(Path(), options)
        self._server, self._first = server, ServerRuntime(server, first).model

    @property
    def trims(self) -> bool:
        """That is the server's to decide."""
        return False

    def available(self) -> list[Path]:
        """The server's models, the one that was asked for first."""
        return [Path(self._first), *(Path(name) for name in served_models(self._server) if name != self._first)]

    def _in_place_of(self, old: Loaded | None, directory: Path, device: str, progress: Progress) -> Loaded:
        runtime = ServerRuntime(self._server, str(directory))
        return Loaded(directory=directory, device=device, backend="server", runtime=runtime)
