"""A repository of the Hugging Face hub: what is in it, and fetching that, the small files before the weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import TypeVar

from glm4_intel.errors import Glm4Error

_T = TypeVar("_T")
_TEXTS = ("*.json", "*.jinja", "tokenizer.model", "LICENSE")
_WEIGHTS = ("*.safetensors",)


@dataclass(frozen=True)
class Repository:
    """A repository as it stands at a commit."""

    name: str
    revision: str | None
    """The branch, tag or commit that was asked for."""
    commit: str | None = None
    """What that is now; None where the hub can't be reached."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Bytes of the files that an export needs; nothing where the hub can't be reached."""

    @property
    def weight_bytes(self) -> int:
        return sum(size for name, size in self.sizes.items() if _is_one_of(name, _WEIGHTS))

    @property
    def missing_bytes(self) -> int:
        """What a download would bring: all but what earlier ones brought."""
        from huggingface_hub import try_to_load_from_cache

        def is_here(file: str) -> bool:
            return isinstance(try_to_load_from_cache(self.name, file, revision=self.commit), str)

        return sum(size for file, size in self.sizes.items() if not is_here(file))

    def fetch_texts(self, place: Path | None = None) -> Path:
        """Fetch what is not weights, into the hub's cache or `place`; its folder.

        The cache learns the name that was asked for, and knows it without the hub, too.
        """
        from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

        disable_progress_bars()
        try:
            return self._fetch(_TEXTS, self.commit if place else self.revision, place)
        finally:
            enable_progress_bars()

    def fetch(self) -> Path:
        """Fetch everything with the hub's own progress and resume; its folder in the hub's cache."""
        return self._fetch((*_TEXTS, *_WEIGHTS), self.commit or self.revision)

    def _fetch(self, patterns: tuple[str, ...], revision: str | None, place: Path | None = None) -> Path:
        from huggingface_hub import snapshot_download

        return _asked(self.name, lambda: Path(
            snapshot_download(self.name, revision=revision, allow_patterns=list(patterns), local_dir=place)
        ))  # fmt: skip


def look_up(name: str, revision: str | None = None) -> Repository:
    """What the hub says of a repository; nothing but its name where the hub can't be reached.

    Raises Glm4Error where there is no such repository, or none with weights in safetensors.
    """
    from huggingface_hub import HfApi

    try:
        info = _asked(name, lambda: HfApi().model_info(name, revision=revision, files_metadata=True))
    except _Unreachable:
        return Repository(name, revision)
    listed = {each.rfilename: each.size or 0 for each in info.siblings or ()}
    sizes = {file: size for file, size in listed.items() if _is_one_of(file, (*_TEXTS, *_WEIGHTS))}
    if "adapter_config.json" in sizes and "config.json" not in sizes:
        raise Glm4Error(f"{name} is an adapter (LoRA) and no whole model", "Merge it into its base, and export that.")
    if not any(_is_one_of(file, _WEIGHTS) for file in sizes):
        raise Glm4Error(f"{name} has no weights in safetensors", "Give the repository of a GLM-4 checkpoint that has.")
    return Repository(name, revision, info.sha, sizes)


def cache_place() -> Path:
    """The folder that the hub's downloads go to."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


class _Unreachable(Glm4Error):
    """The hub does not answer, or may not be asked."""


def _asked(name: str, ask: Callable[[], _T]) -> _T:
    """The hub's answer. Raises Glm4Error saying why there is none."""
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return ask()
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise Glm4Error(f"The hub has no repository {name}", "Check the name, or log in: hf auth login") from error
    except RevisionNotFoundError as error:
        raise Glm4Error(f"{name} has no such revision", "Give a branch, a tag or a commit of it.") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, *network_errors()) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise _Unreachable(f"{name} can't be fetched: {reason}", "Run it again to resume, or give a folder.") from error


def network_errors() -> tuple[type[Exception], ...]:
    """What the client library of huggingface_hub raises; that of its versions before 1 raises OSError."""
    try:
        from httpx import HTTPError
    except ImportError:
        return ()
    return (HTTPError,)


def _is_one_of(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)
