"""The adapters of a load: what they take, and the edited model for the engine."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openvino

from ....errors import Glm4Error
from ....machine.folders import cache_folder
from ....model_directory.weight_shapes import head_size
from ...adapters import Adapter, read_adapter
from ...openvino_ir import MODEL
from ...standing_in import standing_in
from .graph import with_adapters
from .marker import Place
from .prompts import AdapterPrompts
from .reserved import reserved_ids

_WEIGHTS = "openvino_model.bin"
_VALUE_BYTES = 4
"""Of an adapter's values in memory, at most: the engine may compute in f32."""


@dataclass(frozen=True)
class AdapterSet:
    """The adapters of one load, by name."""

    adapters: Mapping[str, Adapter]
    prompts: AdapterPrompts
    """All that is needed of it once the engine has the adapters."""

    @property
    def bytes(self) -> int:
        """What they take in memory, at most."""
        values = sum(change.down.size + change.up.size for each in self.adapters.values()
                     for change in each.products.values())  # fmt: skip
        return _VALUE_BYTES * (values + sum(each.prefix.values.size for each in self.adapters.values() if each.prefix))


def read_set(directory: Path, config: Mapping[str, Any], folders: Mapping[str, Path]) -> AdapterSet:
    """The adapters of a load, which can be told apart in one batch.

    Raises Glm4Error for one that does not fit the model, or that is exact only when it is merged.
    """
    adapters = {name: read_adapter(folder, config) for name, folder in folders.items()}
    for adapter in adapters.values():
        _require_low_rank(adapter)
    if len(adapters) > head_size(config):
        raise Glm4Error(f"{len(adapters)} adapters are more than {head_size(config)}", "Load fewer of them.")
    ids, first = reserved_ids(directory, config["vocab_size"], len(adapters)) if adapters else ([], -1)
    places = {
        name: Place(id, adapter.prefix.tokens if adapter.prefix else 1, virtual=adapter.prefix is not None)
        for (name, adapter), id in zip(adapters.items(), ids, strict=True)
    }
    return AdapterSet(adapters, AdapterPrompts(places, first))


def _require_low_rank(adapter: Adapter) -> None:
    merged = "Merge it: glm4-intel export CHECKPOINT OUT --adapter DIR"
    if adapter.kind == "DoRA":
        raise Glm4Error(f"{adapter.path} is DoRA, which is exact only with the base's own weights", merged)
    biased = any(change.bias is not None for change in adapter.products.values())
    if adapter.replaced or biased:
        what = next(iter(adapter.replaced), "a bias")
        raise Glm4Error(f"{adapter.path} replaces {what}, which replies of one batch can't have of their own", merged)


@contextmanager
def adapted_directory(directory: Path, config: Mapping[str, Any], adapters: AdapterSet) -> Iterator[Path]:
    """A folder with the edited model, while the engine opens it; the directory itself without adapters.

    The engine takes a model from files alone, so the edited one is written into the cache folder: it needs as much disk
    as the weights, on Linux for as long as the engine has it mapped. Raises Glm4Error where there is none.
    """
    if not adapters.adapters:
        yield directory
        return
    place = cache_folder()
    with ExitStack() as kept:
        try:
            folder = kept.enter_context(standing_in(directory, place, (MODEL, _WEIGHTS)))
            _require_room(directory / _WEIGHTS, adapters, place)
            _write_edited(directory, config, adapters, folder)
        except OSError as error:
            raise Glm4Error(f"Adapters need room in {place}: {error}", "Name another place with GLM4_CACHE.") from error
        yield folder


def _write_edited(directory: Path, config: Mapping[str, Any], adapters: AdapterSet, folder: Path) -> None:
    """The edited model's files."""
    model = openvino.Core().read_model(directory / MODEL)
    names = list(adapters.adapters)
    edited = with_adapters(
        model, [adapters.adapters[name] for name in names], [adapters.prompts.places[name] for name in names],
        adapters.prompts.first_token, config,
    )  # fmt: skip
    openvino.serialize(edited, folder / MODEL, folder / _WEIGHTS)


def _require_room(weights: Path, adapters: AdapterSet, place: Path) -> None:
    needed, free = weights.stat().st_size + adapters.bytes, shutil.disk_usage(place).free
    if needed > free:
        raise Glm4Error(
            f"Loading adapters needs {needed / 1e9:.1f} GB of disk in {place}, and {free / 1e9:.1f} GB are free",
            "Free some, or name another place with GLM4_CACHE.",
        )
