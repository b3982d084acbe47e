"""A PyTorch model to an OpenVINO one, by optimum-intel's conversion, without a temporary IR."""

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
from transformers import PreTrainedModel

_TASK, _LIBRARY = "text-generation-with-past", "transformers"


def convert(model: PreTrainedModel) -> tuple[Model, Any]:
    """The stateful OpenVINO model, in memory, and the export configuration that saving it needs."""
    constructor = TasksManager.get_exporter_config_constructor(
        exporter="openvino", model=model, task=_TASK, model_type=model.config.model_type, library_name=_LIBRARY
    )
    plain = constructor(model.config, int_dtype="int64", float_dtype="fp32")
    ((_, config),) = get_decoder_models_for_export(model, plain).values()  # with the KV cache as an input
    converted: list[Model] = []
    with _quiet(), _shortened(converted):
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


@contextmanager
def _shortened(converted: list[Model]) -> Iterator[None]:
    """Take the model where optimum-intel would write it to disk, 18.8 GB for the 9B, and trace it once.

    PyTorch would trace it twice more to compare, which at 9B is 6 of 16 seconds and looks at no weight.
    """
    save_model, may_skip = exporter._save_model, exporter.allow_skip_tracing_check
    exporter._save_model = lambda model, *_, **__: converted.append(model)
    exporter.allow_skip_tracing_check = lambda *_: True
    try:
        yield
    finally:
        exporter._save_model, exporter.allow_skip_tracing_check = save_model, may_skip


@contextmanager
def _quiet() -> Iterator[None]:
    """Tracing warns of every constant it meets; none of it is of use to a user."""
    level = logging.getLogger("optimum").level
    logging.getLogger("optimum").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.getLogger("optimum").setLevel(level)
