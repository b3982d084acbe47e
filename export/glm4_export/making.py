"""A checkpoint to a model directory, from end to end; how its weights are made is a maker's."""

import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from glm4_intel.backends import engine
from glm4_intel.chat.template import read_template_file
from glm4_intel.chat.tokenizer import ChatTokenizer
from glm4_intel.model_directory import FileRecord, record, write_json, write_manifest

from .checkpoint.hub import cache_place
from .checkpoint.source import Checkpoint, fetched, look
from .directory.card import write_card
from .directory.manifest import manifest_of
from .directory.staging import finish, growing, require_place
from .estimate import Estimate, Writing, require_room
from .progress import Progress, interruptibly

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from .checkpoint.adapters import Merging
    from .checkpoint.weights import WeightFiles

_LARGE = 64 << 20
"""Bytes from which a file is hashed while it is still in memory, beside the fingerprint."""


@dataclass(frozen=True, kw_only=True)
class MakeOptions:
    """What is the same whatever the weights become."""

    revision: str | None = None
    """The hub repository's branch, tag or commit."""
    rope_theta: float | None = None
    """The base of the rotary embedding, where the config's own contradicts the original."""
    chat_template: Path | None = None
    """A file with the chat template to use instead of the checkpoint's own, or of none."""
    adapters: tuple[tuple[Path, float], ...] = ()
    """Folders of adapters to merge into the weights, in this order, each with what its change is multiplied by."""
    overwrite: bool = False
    """Replace an `out` that is a model directory."""
    ignore_limits: bool = False
    """Try where disk or memory look too small."""


@dataclass(frozen=True)
class Work:
    """A model directory in the making."""

    checkpoint: Checkpoint
    directory: Path
    tokenizer: ChatTokenizer
    """The directory's own."""
    progress: Progress
    adapters: "tuple[Merging, ...]" = ()
    """What is merged into the weights."""

    def load(self) -> "tuple[PreTrainedModel, WeightFiles]":
        """See `checkpoint.weights.load`; the adapters are merged already."""
        from .checkpoint.weights import load

        model, files = load(self.checkpoint)
        if self.adapters:
            from .checkpoint.merge import merge

            self.progress.stage("merging the adapters", self.checkpoint.weight_bytes)
            merge(model, self.adapters, self.directory, self.progress.advance)
        return model, files


class Maker(Protocol):
    """How the weights of a model directory are made, for one backend."""

    @property
    def backend(self) -> str: ...

    @property
    def libraries(self) -> tuple[str, ...]:
        """The packages that the weights depend on."""
        ...

    @property
    def targets(self) -> tuple[str, ...]:
        """The kinds of devices that can run them."""
        ...

    def record(self) -> dict[str, Any]:
        """What the manifest says of the recipe."""
        ...

    def require_fit(self, checkpoint: Checkpoint) -> None:
        """Raises Glm4Error, before any work, for a checkpoint or an environment that the maker can't work with."""
        ...

    def require_texts(self, tokenizer: ChatTokenizer) -> None:
        """Raises Glm4Error, before any work, for files of texts that can't be used."""
        ...

    def estimate(self, checkpoint: Checkpoint) -> Estimate:
        """What it will take."""
        ...

    def make(self, work: Work) -> dict[str, Any]:
        """Write the weights and what belongs to them alone; what was found out about them, for the manifest."""
        ...


def make(
    source: str,
    out: Path,
    maker: Maker,
    options: MakeOptions = MakeOptions(),  # noqa: B008  # frozen
    progress: Progress | None = None,
) -> Path:
    """Make a model directory of a checkpoint at `out` and return it.

    The directory grows beside `out` and takes its place when its manifest is written, so that an interrupted run never
    looks whole. Raises Glm4Error for a checkpoint that is not whole or is no GLM-4, one that the maker refuses, an
    `out` that is taken (but for a model directory with `overwrite`), and a disk or memory that is too small (unless
    `ignore_limits`).
    """
    progress, place = progress or Progress(), Path(os.path.abspath(out))
    progress.stage("reading the checkpoint")
    checkpoint, mergings = examined(source, place, maker, options)
    with growing(place) as directory:
        interruptibly(partial(_fill, directory, checkpoint, mergings, maker, options, progress), progress)
    return out


def examined(
    source: str, place: Path, maker: Maker, options: MakeOptions, texts: Path | None = None
) -> "tuple[Checkpoint, tuple[Merging, ...]]":
    """The checkpoint, and the adapters to merge into it, when all has been checked that can be before its weights are
    fetched or touched.

    `texts` is where a repository's small files are fetched to, the hub's cache by default. Raises Glm4Error as `make`.
    """
    require_place(place, None, options.overwrite)
    template = read_template_file(options.chat_template) if options.chat_template else None
    checkpoint = replace(look(source, options.revision, options.rope_theta, texts), template=template)
    require_place(place, checkpoint.path, options.overwrite)
    return checkpoint, _require_possible(checkpoint, place, maker, options)


def _mergings(checkpoint: Checkpoint, options: MakeOptions) -> "tuple[Merging, ...]":
    """The adapters to merge. Raises Glm4Error for one that does not fit the checkpoint."""
    if not options.adapters:
        return ()
    from .checkpoint.adapters import read_mergings

    return read_mergings(options.adapters, checkpoint.config)


def _require_possible(checkpoint: Checkpoint, place: Path, maker: Maker, options: MakeOptions) -> "tuple[Merging, ...]":
    """The adapters to merge. Raises Glm4Error where one does not fit, the maker refuses the checkpoint, or the machine
    has no room."""
    mergings = _mergings(checkpoint, options)
    maker.require_fit(checkpoint)
    if not options.ignore_limits:
        require_room(maker.estimate(checkpoint), writings(checkpoint, place, maker, mergings))
    return mergings


def writings(checkpoint: Checkpoint, place: Path, maker: Maker, mergings: "Sequence[Merging]") -> list[Writing]:
    """What will be written, and where: what the hub still has to give, the model directory, and what lies in it on the
    way."""
    from .checkpoint.adapters import merged_bytes

    needed = maker.estimate(checkpoint)
    planned = [Writing("the model directory", place, needed.output)]
    if temporary := needed.scratch + merged_bytes(mergings, checkpoint):
        planned.append(Writing("its temporary files", place, temporary))
    if checkpoint.awaited is None:
        return planned
    return [Writing("the download", cache_place(), checkpoint.awaited.missing_bytes), *planned]


def _fill(
    directory: Path, checkpoint: Checkpoint, mergings: "tuple[Merging, ...]", maker: Maker, options: MakeOptions,
    progress: Progress,
) -> None:  # fmt: skip
    """Everything in the model directory, the manifest last."""
    from .checkpoint.tokenizer import write_texts

    tokenizer = write_texts(checkpoint, directory)
    maker.require_texts(tokenizer)
    if checkpoint.awaited:
        progress.stage(f"fetching {checkpoint.source}", shown=True)
        checkpoint = fetched(checkpoint, options.rope_theta)
        mergings = _require_possible(checkpoint, directory, maker, options)
        write_json(directory / "config.json", checkpoint.config)  # whose head is known to be trained or tied only now
    if not tokenizer.chats:
        progress.note(f"{checkpoint.source} has no chat template and completes text; --chat-template FILE gives it one")
    if dropped := tokenizer.dropped:
        progress.note(f"the chat template leaves out {', '.join(dropped)}; --chat-template FILE gives another")
    found = maker.make(Work(checkpoint, directory, tokenizer, progress, mergings))
    license = checkpoint.path / "LICENSE"
    if license.is_file():
        shutil.copyfile(license, directory / "LICENSE")
    recipe = maker.record()
    with ThreadPoolExecutor(1) as hashing:
        recorded = hashing.submit(_large_files, directory)
        progress.stage("taking the fingerprint")
        taken = {"fingerprint": engine(maker.backend).fingerprint(directory, recipe).to_dict()}
    manifest = manifest_of(
        checkpoint, tokenizer, maker.backend, recipe, maker.targets, maker.libraries, taken | found,
        [each.record() for each in mergings],
    )  # fmt: skip
    write_card(directory, checkpoint, manifest)
    progress.stage("writing the manifest")
    finish(directory)
    write_manifest(directory, manifest, recorded.result())


def _large_files(directory: Path) -> Mapping[str, FileRecord]:
    return {file.name: record(file) for file in directory.iterdir() if file.stat().st_size >= _LARGE}
