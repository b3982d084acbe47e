"""OpenVINO GenAI's streamer over a reply's mailbox, and what the engine's errors in the middle of a reply mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openvino_genai

from ...errors import Glm4Error
from ..turns import Writing

_RUNNING, _CANCEL = openvino_genai.StreamingStatus.RUNNING, openvino_genai.StreamingStatus.CANCEL


class Streamer(openvino_genai.StreamerBase):  # type: ignore[misc]
    """What a pipeline's `generate` calls for each token."""

    def __init__(self, mailbox: Writing) -> None:
        super().__init__()
        self._mailbox = mailbox

    def write(self, token: int | list[int]) -> Any:
        """A token, or as many as were guessed; the answer says whether to go on."""
        self._mailbox.write(token if isinstance(token, list) else [token])
        return _CANCEL if self._mailbox.over else _RUNNING

    def end(self) -> None:
        """Nothing: the end of `generate` is the end."""


@contextmanager
def telling_faults_of_guides() -> Iterator[None]:
    """The grammar engine's refusal of an expression, as one line. Other errors pass."""
    try:
        yield
    except RuntimeError as error:
        if "xgrammar" not in str(error):
            raise
        reason = str(error).strip().splitlines()[0].rpartition(".cc:")[2].partition(": ")[2]
        raise Glm4Error(
            f"The engine can't guide this reply: {reason}", "Simplify the expression or the schema."
        ) from error
