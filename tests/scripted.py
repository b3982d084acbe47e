"""A backend that writes given replies: for the logic above the engine, which the engine's own tests need not repeat."""

import time
from collections.abc import Callable, Iterator, Sequence

from glm4_demos.nano import CHECKPOINT
from glm4_intel import Runtime
from glm4_intel.backends import Request
from glm4_intel.chat.tokenizer import ChatTokenizer

TOKENIZER = ChatTokenizer.from_directory(CHECKPOINT)
SECONDS = 0.0002
"""What a token takes."""


class ScriptedBackend:
    """Writes its replies in order, whatever it is asked, and keeps the requests."""

    prompt_limit: int | None = None

    def __init__(self, replies: Sequence[Sequence[int]]) -> None:
        self._replies = iter(replies)
        self.requests: list[Request] = []
        self.closed = False

    def stream(self, request: Request, cancelled: Callable[[], bool]) -> Iterator[int]:
        self.requests.append(request)
        for id in next(self._replies)[: request.params.max_new_tokens]:
            if cancelled():
                return
            time.sleep(SECONDS)
            yield id
            if id in request.params.stop_token_ids:
                return

    def close(self) -> None:
        self.closed = True


def reply_ids(text: str, end: str = "<|user|>") -> list[int]:
    """The ids of a plain answer or of a call, and the token that ends it."""
    stop = TOKENIZER.special_id(end)
    assert stop is not None
    return [*TOKENIZER.encode_text(text), stop]


def scripted(*replies: Sequence[int], context: int = 2048, **options: object) -> tuple[Runtime, ScriptedBackend]:
    """A runtime that gives these replies, and its backend."""
    backend = ScriptedBackend(replies)
    return Runtime(TOKENIZER, backend, context_length=context, **options), backend  # type: ignore[arg-type]


def call_ids(name: str, arguments: str) -> list[int]:
    """The ids of a call."""
    return reply_ids(f"{name}\n{arguments}", "<|observation|>")
