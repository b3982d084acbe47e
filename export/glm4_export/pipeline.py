"""The export from end to end: resolve, convert, compress, save, check, and the manifest last."""

import logging
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glm4_intel.artifact import Manifest, record, write_manifest
from glm4_intel.devices import portable_properties
from glm4_intel.errors import Glm4Error
from glm4_quantize.recipes import RECIPES, Recipe

from .estimate import require_room
from .manifest import manifest_of
from .progress import Progress, interruptibly
from .source import Checkpoint, resolve
from .staging import finish, growing

if TYPE_CHECKING:
    from glm4_intel.prompt import Prompt

    from .fidelity import Reference

_LIBRARIES = ("openvino", "openvino-tokenizers", "nncf", "optimum-intel", "torch", "transformers")


@dataclass(frozen=True)
class ExportOptions:
    """What an export does besides its recipe."""

    revision: str | None = None
    """The hub repository's branch, tag or commit."""
    rope_theta: float | None = None
    """The base of the rotary embedding, where the config's own contradicts the original."""
    calibration: Path | None = None
    """Text or JSON lines of messages, for recipes that need data; None takes the built-in samples."""
    check: bool = False
    """Compare with the uncompressed checkpoint over a text."""
    check_text: Path | None = None
    model_server: bool = False
    """Add what OpenVINO Model Server reads."""
    force: bool = False
    """Replace an `out` that exists, and try where disk or memory look too small."""


def export(
    source: str,
    out: Path,
    recipe: Recipe = RECIPES["cpu"],
    options: ExportOptions = ExportOptions(),  # noqa: B008  # frozen
    progress: Progress | None = None,
) -> Path:
    """Export a checkpoint to a model directory at `out` and return it.

    The directory grows beside `out` and takes its place when its manifest is written, so that an interrupted export
    never looks whole. Raises Glm4Error for a checkpoint that is not whole or is no GLM-4, a recipe that NNCF refuses,
    an `out` that exists (unless `force`), and a disk or memory that is too small (unless `force`).
    """
    progress = progress or Progress()
    if out.exists() and not options.force:
        raise Glm4Error(f"{out} exists", "Choose another folder, or replace it with --force.")
    progress.stage("reading the checkpoint")
    checkpoint = resolve(source, options.revision, options.rope_theta)
    if not options.force:
        require_room(checkpoint, recipe, out)
    with growing(out) as directory:
        work = _Export(checkpoint, recipe, options, directory, progress)
        interruptibly(work.run, progress)
    return out


@dataclass
class _Export:
    """One export on its way, and the stages it goes through."""

    checkpoint: Checkpoint
    recipe: Recipe
    options: ExportOptions
    directory: Path
    progress: Progress

    def run(self) -> None:
        """Everything in the model directory, the manifest last."""
        from .convert_tokenizer import converting_tokenizer
        from .tokenizer import write_texts

        prompt = write_texts(self.checkpoint, self.directory)
        with redirect_stdout(sys.stderr), _less_logging():
            with converting_tokenizer(self.directory):
                reference = self._weights(prompt)
                self.progress.stage("converting the tokenizer")  # what is left of it
            weights = self.directory / "openvino_model.bin"
            with ThreadPoolExecutor(1) as hashing:  # now, while the file is in memory
                recorded = hashing.submit(record, weights)
                verification = self._verify(reference)
        recipe = self.recipe
        manifest = manifest_of(
            self.checkpoint, prompt, "openvino_genai", recipe.to_dict(), recipe.targets, _LIBRARIES, verification
        )
        self._write_extras(manifest)
        self.progress.stage("writing the manifest")
        finish(self.directory)
        write_manifest(self.directory, manifest, {weights.name: recorded.result()})

    def _weights(self, prompt: "Prompt") -> "Reference | None":
        """Write the IR; what it will be compared with, if it will be."""
        from glm4_quantize.calibration import samples
        from glm4_quantize.compress import compress, has_own_progress

        from . import convert
        from .weights import load, require_finite_weights

        model, files = load(self.checkpoint)
        reference = self._reference(model, prompt)
        data = samples(prompt, self.options.calibration) if self.recipe.needs_data else []
        total = self.checkpoint.weight_bytes
        if self.recipe.mode in ("none", "fp16"):
            self.progress.stage("checking the weights", total)
            require_finite_weights(model, self.progress.advance)
        if self.recipe.mode == "fp16":
            model = model.half()
        self.progress.stage("converting to OpenVINO")
        converted, config = convert.convert(model)
        name = f"compressing the weights: recipe {self.recipe.name}"
        self.progress.stage(name, total, shown=has_own_progress(self.recipe))
        with closing(files):
            compressed = compress(converted, self.recipe, data, self.progress.advance, files.read)
        self.progress.stage("saving")
        convert.save(compressed, config, self.directory / "openvino_model.xml", self.recipe.mode != "none")
        return reference

    def _reference(self, model: Any, prompt: "Prompt") -> "Reference | None":
        if not self.options.check:
            return None
        from .fidelity import reference, windows
        from .fidelity_text import text_ids

        texts = windows(text_ids(prompt, self.options.check_text))
        if not texts:
            raise Glm4Error(f"{self.options.check_text} is too short to compare with", "Give a longer text.")
        layers = len(model.model.layers)
        self.progress.stage("running the uncompressed model", layers, "layers")
        return reference(model, texts, self.progress.advance)

    def _verify(self, reference: "Reference | None") -> dict[str, Any]:
        """What the written IR computes, and how near it is to the original."""
        from glm4_intel import fingerprint

        self.progress.stage("taking the fingerprint")
        taken = {"fingerprint": fingerprint.take(self.directory).to_dict()}
        if reference is None:
            return taken
        from .fidelity import compare

        self.progress.stage("comparing with the uncompressed model")
        return taken | {"fidelity": compare(self.directory, reference).to_dict()}

    def _write_extras(self, manifest: Manifest) -> None:
        from .card import write_card
        from .model_server import write_model_server_files

        license = self.checkpoint.path / "LICENSE"
        if license.is_file():
            shutil.copyfile(license, self.directory / "LICENSE")
        if self.options.model_server:
            device = self.recipe.targets[0]
            write_model_server_files(self.directory, "glm-4", device, portable_properties(device))
        write_card(self.directory, self.checkpoint, manifest)


@contextmanager
def _less_logging() -> Iterator[None]:
    """NNCF and transformers say much that is of no use to a user of this command."""
    import nncf  # noqa: F401  # both set their logger's level when imported
    import transformers.utils.logging

    transformers.utils.logging.get_logger()
    loggers = [logging.getLogger(name) for name in ("nncf", "transformers")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
