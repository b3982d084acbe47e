"""The export from end to end: resolve, convert, compress, save, check, and the manifest last."""

import errno
import logging
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any

from glm4_intel.artifact import UNFINISHED, Manifest, read_json, write_manifest
from glm4_intel.errors import Glm4Error
from glm4_intel.prompt import Prompt
from glm4_quantize.recipes import Recipe, compress

from .source import LAYOUTS, Checkpoint, resolve

_COPIED = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_LIBRARIES = ("openvino", "openvino-tokenizers", "nncf", "optimum-intel", "torch", "transformers")
_BYTES_PER_BF16_BYTE = {"int4": 0.32, "int8": 0.52, "none": 1.0}
_MARGIN = 64 << 20


def export(
    source: str,
    out: Path,
    recipe: Recipe,
    revision: str | None = None,
    checks: int = 4,
    force: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> Path:
    """Export a checkpoint to a model directory at `out` and return it.

    The directory grows beside `out` and is renamed when its manifest is written, so that an interrupted export never
    looks whole. `checks` prompts are compared with the uncompressed model. Raises Glm4Error for a checkpoint that is
    not whole, an `out` that exists (unless `force`), or a disk that is too small.
    """
    if out.exists() and not force:
        raise Glm4Error(f"{out} exists", "Choose another folder, or replace it with --force.")
    report("reading the checkpoint")
    checkpoint = resolve(source, revision)
    stop_ids = Prompt.from_directory(checkpoint.path).stop_ids
    _check_space(out, checkpoint, recipe)
    with _growing(out) as directory:
        verification = _build(checkpoint, directory, recipe, checks, report)
        write_manifest(directory, _manifest(checkpoint, recipe, stop_ids, verification))
        _replace(directory, out)
    return out


def _build(
    checkpoint: Checkpoint, directory: Path, recipe: Recipe, checks: int, report: Callable[[str], None]
) -> dict[str, Any]:
    """Everything in the model directory but the manifest; what the check found."""
    from . import check, convert

    with redirect_stdout(sys.stderr), _less_logging():
        model = convert.load(checkpoint.path)
        too_large = _too_large_to_check(checkpoint)
        references = [] if too_large else check.reference(model, checkpoint.path, checks)
        report("converting to OpenVINO")
        converted, config = convert.convert(model)
        report(f"compressing the weights: recipe {recipe.name}")
        compressed = compress(converted, recipe)
        report("saving")
        convert.save(compressed, config, directory / "openvino_model.xml", recipe.mode != "none")
        del model, converted, compressed
        convert.save_tokenizer(checkpoint.path, directory)
        for name in _COPIED:
            if (checkpoint.path / name).is_file():
                shutil.copyfile(checkpoint.path / name, directory / name)
        if not references:
            return {"skipped": too_large or "asked not to"}
        report("comparing with the uncompressed model")
        return check.compare(directory, references).to_dict()


def _manifest(
    checkpoint: Checkpoint, recipe: Recipe, stop_ids: Sequence[int], verification: dict[str, Any]
) -> Manifest:
    generation = checkpoint.path / "generation_config.json"
    return Manifest(
        backend="openvino_genai",
        source=checkpoint.source,
        revision=checkpoint.revision,
        architecture=LAYOUTS[checkpoint.config["model_type"]],
        recipe=recipe.to_dict(),
        targets=list(recipe.targets),
        libraries={name: version(name) for name in _LIBRARIES},
        stop_ids=list(stop_ids),
        context_length=checkpoint.config["max_position_embeddings"],
        generation=read_json(generation) if generation.is_file() else {},
        verification=verification,
    )


def _check_space(out: Path, checkpoint: Checkpoint, recipe: Recipe) -> None:
    needed = int(checkpoint.weight_bytes * _BYTES_PER_BF16_BYTE[recipe.mode.partition("_")[0]]) + _MARGIN
    existing = next(parent for parent in out.absolute().parents if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise Glm4Error(
            f"The model directory needs about {needed / 1e9:.1f} GB, and {existing} has {free / 1e9:.1f} GB free",
            "Free some space, or choose a folder on another disk.",
        )


def _too_large_to_check(checkpoint: Checkpoint) -> str:
    """Why the uncompressed model can't be run beside the rest, or nothing if it can."""
    import psutil

    available = psutil.virtual_memory().available
    if 2 * checkpoint.weight_bytes > available:
        return f"{checkpoint.weight_bytes / 1e9:.1f} GB of weights, {available / 1e9:.1f} GB of memory available"
    return ""


@contextmanager
def _growing(out: Path) -> Iterator[Path]:
    """The folder beside `out` in which it grows; gone if anything fails."""
    directory = out.with_name(out.name + UNFINISHED)
    try:
        if directory.exists():  # what a killed export left
            shutil.rmtree(directory)
        directory.mkdir(parents=True)
        yield directory
    except (OSError, RuntimeError) as error:
        raise (_understood(error, directory) or error) from error
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _understood(error: Exception, directory: Path) -> Glm4Error | None:
    """What lies behind a library's error, where that is the disk or the memory."""
    if getattr(error, "errno", None) == errno.ENOSPC or "iostream error" in str(error):
        return Glm4Error(f"The disk of {directory.parent} is full", "Free some space and run the export again.")
    if any(sign in str(error) for sign in ("bad_alloc", "not enough memory", "can't allocate memory")):
        return Glm4Error("There is not enough memory for this export", "Close other programs, or use another machine.")
    return None


def _replace(directory: Path, out: Path) -> None:
    if out.exists():
        old = out.with_name(out.name + ".old")
        out.rename(old)
        directory.rename(out)
        shutil.rmtree(old)
    else:
        directory.rename(out)


@contextmanager
def _less_logging() -> Iterator[None]:
    """NNCF and transformers say much at INFO; warnings still come through."""
    import nncf  # noqa: F401  # sets its logger's level when imported

    loggers = [logging.getLogger(name) for name in ("nncf", "transformers")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
