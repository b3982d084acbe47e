"""A checkpoint's PyTorch model to an OpenVINO one, by optimum-intel's conversion, without a temporary IR."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from openvino import Model
from optimum.exporters.openvino import convert as exporter
from optimum.exporters.tasks import TasksManager
from optimum.exporters.utils import get_decoder_models_for_export
from transformers import AutoTokenizer, GlmForCausalLM
from transformers.utils import logging as transformers_logging

from glm4_intel.errors import Glm4Error

_TASK, _LIBRARY = "text-generation-with-past", "transformers"


def load(path: Path) -> GlmForCausalLM:
    """The checkpoint's model in its own type; its weights stay in the memory-mapped file as long as they can.

    Raises Glm4Error if its tensors are not those that its config.json describes.
    """
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    again = "Is config.json this checkpoint's own? Fetch both again."
    try:
        model, info = GlmForCausalLM.from_pretrained(
            path, dtype="auto", local_files_only=True, output_loading_info=True
        )
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise Glm4Error(f"{path} can't be loaded: {str(error).strip().splitlines()[0]}", again) from error
    lacking = sorted([*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])])
    if lacking:  # transformers would go on with random numbers in their place
        raise Glm4Error(f"{path} lacks {lacking[0]} or has it in another shape ({len(lacking)} such tensors)", again)
    return model.eval()


def convert(model: GlmForCausalLM) -> tuple[Model, Any]:
    """The stateful OpenVINO model, in memory, and the export configuration that saving it needs."""
    constructor = TasksManager.get_exporter_config_constructor(
        exporter="openvino", model=model, task=_TASK, model_type=model.config.model_type, library_name=_LIBRARY
    )
    plain = constructor(model.config, int_dtype="int64", float_dtype="fp32")
    ((_, config),) = get_decoder_models_for_export(model, plain).values()  # with the KV cache as an input
    converted: list[Model] = []
    with _quiet(), _intercepted_save(converted):
        exporter.export_pytorch(
            model,
            config,
            Path(),
            stateful=True,
            patch_16bit_model=model.dtype in (torch.float16, torch.bfloat16),
            library_name=_LIBRARY,
        )
    return converted[0], config


def save(model: Model, config: Any, path: Path, compressed: bool) -> None:
    """Write the IR with the runtime options and version info that optimum-intel gives it."""
    exporter._set_runtime_options({"model": (model, config)}, _TASK, _LIBRARY, compressed)
    exporter._save_model(model, str(path), library_name=_LIBRARY, config=config)


def save_tokenizer(checkpoint: Path, out: Path) -> None:
    """OpenVINO's tokenizer and detokenizer, for engines and tools that read text."""
    tokenizer = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
    with _quiet():
        exporter.export_tokenizer(tokenizer, out, task=_TASK)


@contextmanager
def _intercepted_save(converted: list[Model]) -> Iterator[None]:
    """Take the converted model where optimum-intel would write it, 18.8 GB for the 9B, to disk."""
    original = exporter._save_model
    exporter._save_model = lambda model, *_, **__: converted.append(model)
    try:
        yield
    finally:
        exporter._save_model = original


@contextmanager
def _quiet() -> Iterator[None]:
    """Tracing warns of every constant it meets; none of it is of use to a user."""
    level = logging.getLogger("optimum").level
    logging.getLogger("optimum").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.getLogger("optimum").setLevel(level)
