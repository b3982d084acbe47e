"""The model: another one or another device is loaded, and its own sampling restored."""

from collections.abc import Iterator
from pathlib import Path

import gradio as gr

from glm4_intel import Glm4Error

from ..models import Models
from ..words import Language, word
from .values import SAMPLING, Values, sampling_values, status_line


class ModelEvents:
    """What the choice of a model and the button under the sampling do."""

    LOADED = ("status", *SAMPLING)
    RESET = SAMPLING

    def __init__(self, models: Models) -> None:
        self._models = models

    def load(
        self,
        directory: str,
        device: str,
        language: Language,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  # Gradio knows it by its default
    ) -> Iterator[Values]:
        """Load another model or device for every visitor; what is wrong with it is said in its place."""
        progress(0, desc=word("loading", language))
        try:
            chosen = Path(str(directory))  # Gradio lets an empty list through
            self._models.load(chosen, str(device), lambda stage, share: progress(share or 0, desc=stage))
        except Glm4Error as error:
            yield {"status": f"**{error}** {error.hint}"}
            return
        yield {"status": status_line(self._models)} | sampling_values(self._models)

    def reset(self) -> Values:
        """Show the model's own sampling again."""
        return sampling_values(self._models)
