"""The manifest of a model directory, from the checkpoint that it is made of."""

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from glm4_intel.chat.tokenizer import ChatTokenizer
from glm4_intel.model_directory import Manifest, read_json

from ..checkpoint.source import Checkpoint


def manifest_of(
    checkpoint: Checkpoint,
    tokenizer: ChatTokenizer,
    backend: str,
    recipe: Mapping[str, Any],
    targets: Iterable[str],
    libraries: Iterable[str],
    verification: Mapping[str, Any] | None = None,
    adapters: Sequence[Mapping[str, Any]] = (),
) -> Manifest:
    """What `glm4.json` will record, its files aside; `libraries` are those whose versions the weights depend on."""
    generation = checkpoint.path / "generation_config.json"
    return Manifest(
        backend=backend,
        source=checkpoint.source,
        revision=checkpoint.revision,
        architecture=checkpoint.layout.architecture,
        recipe=dict(recipe),
        targets=list(targets),
        libraries={name: version(name) for name in libraries},
        stop_ids=list(tokenizer.stop_ids),
        context_length=checkpoint.config["max_position_embeddings"],
        generation=read_json(generation) if generation.is_file() else {},
        verification=None if verification is None else dict(verification),
        chats=tokenizer.chats,
        adapters=[dict(each) for each in adapters],
    )
