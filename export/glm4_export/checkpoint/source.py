"""Where a checkpoint comes from, and whether it is whole before any work begins."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glm4_intel.chat.generation import GenerationParams
from glm4_intel.errors import Glm4Error
from glm4_intel.model_directory import MANIFEST, read_json

from .config_values import require_values
from .context import scaled_context
from .embedded import EMBEDDED, embedded_checkpoint
from .kinds import require_checkpoint, require_plain_weights
from .layouts import LAYOUTS, Layout, rope_theta
from .shards import find_shards, stored_tensors

_FETCHED = ["*.json", "*.safetensors", "*.jinja", "tokenizer.model", "LICENSE"]
_HEADS = ("lm_head.weight", "transformer.output_layer.weight")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk, checked to be whole."""

    path: Path
    source: str
    revision: str | None
    layout: Layout
    config: dict[str, Any]
    """Of `layout.architecture`, whatever the checkpoint's own form is."""
    shards: tuple[Path, ...]
    names: tuple[str, ...]
    """What it may be known by: its repository, its folder, its config's `_name_or_path`."""
    fetched: bool = False
    """Whether `source` is a repository of the hub, and not a folder."""
    template: str | None = None
    """The chat template that was given, instead of its own."""

    @property
    def weight_bytes(self) -> int:
        return sum(shard.stat().st_size for shard in self.shards)


def resolve(source: str, revision: str | None = None, theta: float | None = None) -> Checkpoint:
    """The checkpoint that `source` names: an embedded one, a folder, or a repository of the Hugging Face hub.

    `theta` is the base of the rotary embedding where the config's own is in doubt. Raises Glm4Error if there is no such
    checkpoint, it is no GLM-4, a shard is missing or cut short, or its config contradicts its known original.
    """
    path = embedded_checkpoint(source) or Path(source).expanduser()
    if fetched := not path.is_dir():
        if path.exists() or not re.fullmatch(r"[\w.-]+/[\w.-]+", source):
            embedded = ", ".join(EMBEDDED)
            raise Glm4Error(
                f"{source} is no folder and no hub id", f"Give a checkpoint's folder, OWNER/NAME, or {embedded}."
            )
        path, revision = _download(source, revision)
    require_checkpoint(path)
    original = _read_config(path)
    names = (source, path.resolve().name, str(original.get("_name_or_path", "")))
    layout = LAYOUTS[original["model_type"]]
    shards = find_shards(path)
    stored = stored_tensors(shards)
    require_plain_weights(path, original, stored)
    config = _architecture_config(path, original, layout, names, theta)
    if config["num_hidden_layers"] > len(stored):
        raise Glm4Error(
            f"{path / 'config.json'} has {config['num_hidden_layers']:,} layers, and there are {len(stored):,} tensors",
            "Is config.json this checkpoint's own? Fetch both again.",
        )
    if any(head in stored for head in _HEADS):  # transformers would tie a trained one all the same
        config = config | {"tie_word_embeddings": False}
    _require_generation_settings(path)
    return Checkpoint(path, source, revision, layout, config, shards, names, fetched)


def _download(repository: str, revision: str | None) -> tuple[Path, str]:
    """Fetch a repository with the hub's own progress and resume; its folder and the commit that was fetched."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        folder = Path(snapshot_download(repository, revision=revision, allow_patterns=_FETCHED))
    except RepositoryNotFoundError as error:
        raise Glm4Error(
            f"The hub has no repository {repository}", "Check the name, or log in: hf auth login"
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise Glm4Error(
            f"{repository} can't be fetched: {reason}", "Run it again to resume, or give a folder."
        ) from error
    return folder, folder.name


def _read_config(path: Path) -> dict[str, Any]:
    if (path / MANIFEST).is_file() or (path / "openvino_model.xml").is_file():
        raise Glm4Error(f"{path} is a model directory already", f"Talk to it: glm4-intel chat {path}")
    if not (path / "config.json").is_file():
        raise Glm4Error(f"{path} is no checkpoint: it has no config.json", "Give the folder of a GLM-4 checkpoint.")
    config = read_json(path / "config.json")
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in LAYOUTS:
        raise Glm4Error(
            f"{path} has the architecture {model_type!r:.40}, which is not one of {', '.join(LAYOUTS)}",
            "Give a checkpoint of GLM-4-9B, GLM-4-9B-0414 or GLM-Z1-9B.",
        )
    return config


def _require_generation_settings(path: Path) -> None:
    """Raises Glm4Error for defaults that no reply could be drawn with."""
    file = path / "generation_config.json"
    if file.is_file():
        GenerationParams.from_generation_config(read_json(file))


def _architecture_config(
    path: Path, original: dict[str, Any], layout: Layout, names: tuple[str, ...], theta: float | None
) -> dict[str, Any]:
    try:
        config = layout.config(original)
    except KeyError as error:
        raise Glm4Error(f"{path / 'config.json'} has no {error}", "Fetch it again.") from error
    except (TypeError, OverflowError) as error:
        raise Glm4Error(f"{path / 'config.json'} has a value of another kind: {error}", "Fetch it again.") from error
    require_values(path / "config.json", config)
    if theta is None and original["model_type"] == "glm":
        rope_theta(config, names)
    if theta is not None:
        config = _with_theta(config, theta)
    return scaled_context(config)


def _with_theta(config: dict[str, Any], theta: float) -> dict[str, Any]:
    parameters = config.get("rope_parameters")
    return (
        config
        | {"rope_theta": theta}
        | ({"rope_parameters": {**parameters, "rope_theta": theta}} if parameters else {})
    )
