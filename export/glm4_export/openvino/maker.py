"""The weights of a model directory as OpenVINO IR: converted, compressed, saved, and compared."""

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from glm4_intel.chat.tokenizer import ChatTokenizer
from glm4_intel.devices import footprint, portable_properties
from glm4_intel.errors import Glm4Error
from glm4_intel.model_directory.weight_shapes import PRODUCTS
from glm4_quantize.recipes import RECIPES, Recipe

from ..checkpoint.source import Checkpoint
from ..estimate import Estimate
from ..making import Work
from .estimate import estimate

if TYPE_CHECKING:
    import numpy as np

    from glm4_quantize.int8_prefill import Int8Weight

    from .fidelity import Reference

_Reference: TypeAlias = "tuple[Reference | None, Mapping[str, float]]"


@dataclass(frozen=True, kw_only=True)
class OpenVINOMaker:
    """Makes OpenVINO IR by a recipe; see `making.Maker`."""

    recipe: Recipe = RECIPES["cpu"]
    calibration: Path | None = None
    """Text or JSON lines of messages, for recipes that need data; None takes the built-in samples."""
    check: bool = False
    """Compare with the uncompressed checkpoint over a text."""
    check_text: Path | None = None
    model_server: bool = False
    """Add what OpenVINO Model Server reads."""

    backend = "openvino_genai"
    libraries = ("openvino", "openvino-tokenizers", "nncf", "optimum-intel", "torch", "transformers")

    @property
    def targets(self) -> tuple[str, ...]:
        return self.recipe.targets

    def record(self) -> dict[str, Any]:
        return self.recipe.to_dict()

    def require_fit(self, checkpoint: Checkpoint) -> None:
        """Any checkpoint fits any recipe, and NNCF refuses those that it can't do; but patterns must match products,
        and leave some."""
        names = footprint.in_two_ways(checkpoint.config)
        for pattern in self.recipe.int8_prefill_except:
            if not any(footprint.is_left_out(name, [pattern]) for name in names):
                layers = checkpoint.config["num_hidden_layers"]
                raise Glm4Error(
                    f"No product of the model matches {pattern!r}",
                    f"They are layers.0 to layers.{layers - 1}, each with {', '.join(PRODUCTS)}.",
                )
        if self.recipe.int8_prefill and not footprint.in_two_ways(checkpoint.config, self.recipe.int8_prefill_except):
            raise Glm4Error(
                "--int8-prefill-except leaves no product for int8", "Name fewer, or give --no-int8-prefill instead."
            )

    def require_texts(self, tokenizer: ChatTokenizer) -> None:
        self._samples(tokenizer)
        if self.check:
            self._windows(tokenizer)

    def estimate(self, checkpoint: Checkpoint) -> Estimate:
        return estimate(checkpoint, self.recipe)

    def make(self, work: Work) -> dict[str, Any]:
        from .convert_tokenizer import converting_tokenizer

        with redirect_stdout(sys.stderr), _less_logging():
            with converting_tokenizer(work.directory):
                reference = self._weights(work)
                work.progress.stage("converting the tokenizer")  # what is left of it
            found = self._compared(work, reference)
        if self.model_server:
            self._write_model_server_files(work)
        return found

    def _weights(self, work: Work) -> _Reference:
        """Write the IR; what it will be compared with, if it will be."""
        from glm4_quantize.attention import compute_attention_in_bf16
        from glm4_quantize.compress import compress, has_own_progress
        from glm4_quantize.int8_prefill import add_int8_prefill

        from ..checkpoint.weights import require_finite_weights
        from . import convert

        recipe, progress, total = self.recipe, work.progress, work.checkpoint.weight_bytes
        model, files = work.load()
        data, divisors = self._calibration(work.tokenizer), self._smoothing(model, work)
        reference = self._reference(model, work, divisors)
        if recipe.mode in ("none", "fp16"):
            progress.stage("checking the weights", total)
            require_finite_weights(model, progress.advance)
        if recipe.mode == "fp16":
            model = model.half()
        progress.stage("converting to OpenVINO")
        converted, config = convert.convert(model)
        with closing(files), self._int8_weights(converted, work, files, divisors) as int8:
            progress.stage(f"compressing the weights: recipe {recipe.name}", total, shown=has_own_progress(recipe))
            original = converted.clone() if int8 else None
            compressed = compress(converted, recipe, data, progress.advance, files.read)
            progress.stage("saving")
            if int8:
                add_int8_prefill(compressed, original, int8)
            if recipe.bf16_attention:
                compute_attention_in_bf16(compressed)
            convert.save(compressed, config, work.directory / "openvino_model.xml", recipe.mode != "none")
        return reference

    @contextmanager
    def _int8_weights(
        self, model: Any, work: Work, files: Any, divisors: "Mapping[str, np.ndarray]"
    ) -> "Iterator[Mapping[str, Int8Weight]]":
        """The weights of the second way for prompts, none where the recipe has none."""
        if not self.recipe.int8_prefill:
            yield {}
            return
        from glm4_quantize.int8_prefill import int8_weights

        work.progress.stage("rounding the weights to int8", work.checkpoint.weight_bytes)
        left_out = self.recipe.int8_prefill_except
        with int8_weights(
            model, work.directory, work.progress.advance, files.read, left_out=left_out, divisors=divisors
        ) as weights:
            yield weights

    def _smoothing(self, model: Any, work: Work) -> "Mapping[str, np.ndarray]":
        """What the activations of the second way's products are divided by, where the recipe smooths them."""
        if not self.recipe.int8_prefill_smoothing:
            return {}
        from .int8_products import smoothing

        work.progress.stage("looking at the activations", len(model.model.layers), "layers")
        return smoothing(model, self._samples(work.tokenizer), work.progress.advance)

    def _calibration(self, tokenizer: ChatTokenizer) -> list[list[int]]:
        """The samples that NNCF needs. Raises Glm4Error for a file that can't be used."""
        return self._samples(tokenizer) if self.recipe.needs_data else []

    def _samples(self, tokenizer: ChatTokenizer) -> list[list[int]]:
        from glm4_quantize.calibration import samples

        return samples(tokenizer, self.calibration) if self.recipe.reads_samples else []

    def _windows(self, tokenizer: ChatTokenizer) -> list[list[int]]:
        """The text to compare over. Raises Glm4Error for one that can't be used."""
        from .fidelity_text import text_ids, windows

        if texts := windows(text_ids(tokenizer, self.check_text)):
            return texts
        raise Glm4Error(f"{self.check_text} is too short to compare with", "Give a longer text.")

    def _reference(self, model: Any, work: Work, divisors: "Mapping[str, np.ndarray]") -> _Reference:
        """What the IR will be compared with, and the errors of the second way's products."""
        if not self.check:
            return None, {}
        from .fidelity import reference
        from .int8_products import int8_errors

        texts = self._windows(work.tokenizer)
        work.progress.stage("running the uncompressed model", len(model.model.layers), "layers")
        none: AbstractContextManager[dict[str, float]] = nullcontext({})
        with int8_errors(model, divisors) if self.recipe.int8_prefill else none as errors:
            return reference(model, texts, work.progress.advance), errors

    def _compared(self, work: Work, of: _Reference) -> dict[str, Any]:
        """How near the written IR is to the original."""
        reference, errors = of
        if reference is None:
            return {}
        from .fidelity import compare

        work.progress.stage("comparing with the uncompressed model")
        if not self.recipe.int8_prefill:
            return {"fidelity": compare(work.directory, reference).to_dict()}
        from glm4_quantize.int8_prefill import TOKENS

        from .int8_products import worst_first

        left_out = self.recipe.int8_prefill_except
        return {
            "fidelity": compare(work.directory, reference, TOKENS).to_dict(),
            "fidelity_int8_prefill": compare(work.directory, reference).to_dict(),
            "int8_prefill_errors": worst_first(
                {name: error for name, error in errors.items() if not footprint.is_left_out(name, left_out)}
            ),
        }

    def _write_model_server_files(self, work: Work) -> None:
        from .model_server import write_model_server_files

        device = self.recipe.targets[0]
        write_model_server_files(work.directory, "glm-4", device, portable_properties(device))


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
