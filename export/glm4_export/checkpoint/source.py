"""Where a checkpoint comes from, and whether it is whole before any work begins."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glm4_intel.chat.generation import GenerationParams
from glm4_intel.commands.model_names import is_hub_id
from glm4_intel.errors import Glm4Error
from glm4_intel.model_directory import MANIFEST, read_json, require_text

from .config_values import require_values
from .context import scaled_context
from .embedded import EMBEDDED, embedded_checkpoint
from .hub import Repository, look_up
from .kinds import require_checkpoint, require_plain_weights
from .layouts import LAYOUTS, Layout, rope_theta
from .shards import find_shards, stored_tensors

_HEADS = ("lm_head.weight", "transformer.output_layer.weight")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, checked to be whole; of one on the hub the small files, until `fetched`."""

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
    awaited: Repository | None = None
    """The repository whose weights have not been fetched yet."""
    template: str | None = None
    """The chat template that was given, instead of its own."""

    @property
    def weight_bytes(self) -> int:
        return self.awaited.weight_bytes if self.awaited else sum(shard.stat().st_size for shard in self.shards)


def resolve(source: str, revision: str | None = None, theta: float | None = None) -> Checkpoint:
    """The checkpoint that `source` names: an embedded one, a folder, or a repository of the Hugging Face hub.

    `theta` is the base of the rotary embedding where the config's own is in doubt. Raises Glm4Error if there is no such
    checkpoint, it is no GLM-4, a shard is missing or cut short, or its config contradicts its known original.
    """
    return fetched(look(source, revision, theta), theta)


def look(source: str, revision: str | None = None, theta: float | None = None, place: Path | None = None) -> Checkpoint:
    """`resolve`, but of a repository only the small files are fetched: into `place`, or the hub's cache."""
    path = embedded_checkpoint(source) or Path(source).expanduser()
    require_text(path)
    if path.is_dir():
        return _whole(path, source, revision, theta)
    if path.exists() or not is_hub_id(source):
        raise Glm4Error(
            f"{source} is no folder and no hub id", f"Give a checkpoint's folder, OWNER/NAME, or {', '.join(EMBEDDED)}."
        )
    repository = look_up(source, revision)
    if not repository.sizes:  # the hub can't be asked: what there is lies in its cache
        folder = repository.fetch()
        return replace(_whole(folder, source, folder.name, theta), fetched=True)
    return replace(
        _described(repository.fetch_texts(place), source, repository.commit, theta), fetched=True, awaited=repository
    )


def fetched(checkpoint: Checkpoint, theta: float | None = None) -> Checkpoint:
    """A checkpoint with its weights, fetched if they are awaited. Raises Glm4Error as `resolve` does."""
    if checkpoint.awaited is None:
        return checkpoint
    whole = _whole(checkpoint.awaited.fetch(), checkpoint.source, checkpoint.awaited.commit, theta)
    return replace(whole, fetched=True, template=checkpoint.template)


def _whole(path: Path, source: str, revision: str | None, theta: float | None) -> Checkpoint:
    """A checkpoint in a folder, with weights that were looked at."""
    require_checkpoint(path)
    described = _described(path, source, revision, theta)
    shards = find_shards(path)
    stored = stored_tensors(shards)
    require_plain_weights(path, read_json(path / "config.json"), stored)
    config = described.config
    if config["num_hidden_layers"] > len(stored):
        raise Glm4Error(
            f"{path / 'config.json'} has {config['num_hidden_layers']:,} layers, and there are {len(stored):,} tensors",
            "Is config.json this checkpoint's own? Fetch both again.",
        )
    if any(head in stored for head in _HEADS):  # transformers would tie a trained one all the same
        config = config | {"tie_word_embeddings": False}
    return replace(described, config=config, shards=shards)


def _described(path: Path, source: str, revision: str | None, theta: float | None) -> Checkpoint:
    """What a checkpoint's settings say of it."""
    original = _read_config(path)
    names = (source, path.resolve().name, str(original.get("_name_or_path", "")))
    layout = LAYOUTS[original["model_type"]]
    config = _architecture_config(path, original, layout, names, theta)
    _require_generation_settings(path)
    return Checkpoint(path, source, revision, layout, config, (), names)


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
