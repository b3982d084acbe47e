"""A message and its reply: sent, written, stopped, and asked again."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr

from glm4_intel import Glm4Error, Runtime, agent
from glm4_intel.agent.documents import Document
from glm4_intel.agent.reading import read_apart
from glm4_intel.serving.client import ServerRuntime

from ...dialogue import Dialogue
from ...saved import whole_text
from ..admission import Admission, Place, Refused
from ..models import Models
from ..setting import Setting
from ..view import Shown, call_step, coming, live, shown
from ..words import Language, word
from .values import (
    DIALOGUE,
    SAMPLING,
    VIEW,
    Values,
    busy_input,
    dialogue_values,
    newest,
    ready_input,
    require_newest,
    save,
    view_values,
)

_MOMENT = 0.1
"""Seconds between two pictures of a reply: each takes processor time from the engine."""
_SAVED_EVERY = 10.0
"""Seconds of a reply that a crash may take with it."""
_READ_AT_ONCE = 4
"""Documents that are read at the same time, each in a process of its own."""
_WHOLE = ("top_k", "max_new_tokens", "seed")
"""Sampling options that are whole numbers; a slider may give 50.0."""


class ReplyEvents:
    """What a message, its reply, and the buttons beside them do."""

    SUBMITTED = FINISHED = UNDONE = (*VIEW, "message")
    AGAIN = DIALOGUE

    def __init__(self, models: Models, admission: Admission, setting: Setting) -> None:
        self._models, self._admission = models, admission
        self._tools, self._uploads = setting.tools, setting.uploads
        self._reading = threading.BoundedSemaphore(_READ_AT_ONCE)

    def submit(
        self,
        message: dict[str, Any],
        dialogue: Dialogue,
        owner: str,
        system: str,
        language: Language,
        request: gr.Request,
    ) -> Values:
        """Add a message to the dialogue, its document too."""
        text, files = message.get("text", "").strip(), message.get("files") or []
        if not text and not files:
            raise gr.Error(word("empty", language), print_exception=False)
        document = self._read(files[0], language) if files else None
        dialogue = newest(dialogue, owner, language)
        runtime = self._admit(dialogue, owner, language, request)
        dialogue.system = whole_text((system or "").strip())
        dialogue.ask(text, document, runtime)
        save(dialogue, owner, language)
        if files:
            self._uploads.remove(Path(files[0]))
        return view_values(dialogue, owner, self._models, language) | busy_input()

    def answer(
        self,
        dialogue: Dialogue,
        owner: str,
        tools: list[str],
        language: Language,
        request: gr.Request,
        *sampling: Any,
    ) -> Iterator[Values]:
        """Write the reply, tool calls and all; it joins the dialogue in its place. `sampling` is SAMPLING's values."""
        options = _sampling_options(sampling)
        try:
            with self._admission.writing(str(request.session_hash), dialogue.id, owner) as place:
                try:
                    yield from self._pictures(dialogue, owner, tools, language, place, options)
                finally:
                    save(dialogue, owner, language)
        except Refused as refused:
            gr.Warning(word(refused.reason, language))
        except Glm4Error as error:
            gr.Warning(f"{word('failed', language)}: {_told(self._why(error))}", duration=None)

    def finish(self, dialogue: Dialogue, owner: str, language: Language) -> Values:
        """Show the whole reply's figures, and make the input ready for the next message."""
        return view_values(dialogue, owner, self._models, language) | ready_input()

    def stop(self, request: gr.Request) -> None:
        """End the reply that is being written for this page."""
        self._admission.stop(str(request.session_hash))

    def retry(self, dialogue: Dialogue, owner: str, language: Language, request: gr.Request) -> Values:
        """Forget the last reply, so that its question is answered anew."""
        require_newest(dialogue, owner, language)
        self._admit(dialogue, owner, language, request)
        last = dialogue.last_question()
        if last is not None:
            dialogue.cut(last + 1)
        return dialogue_values(dialogue, self._models, language)

    def undo(self, dialogue: Dialogue, owner: str, language: Language) -> Values:
        """Take the last exchange back; its question returns to the input."""
        require_newest(dialogue, owner, language)
        last = dialogue.last_question()
        turn = dialogue.cut(last) if last is not None else None
        save(dialogue, owner, language)
        question = {"text": turn.content if turn else "", "files": []}
        return view_values(dialogue, owner, self._models, language) | {"message": question}

    def edit(
        self, dialogue: Dialogue, owner: str, language: Language, picked: gr.EditData, request: gr.Request
    ) -> Values:
        """Change a question and forget what followed it, so that it is answered anew."""
        require_newest(dialogue, owner, language)
        self._admit(dialogue, owner, language, request)
        loaded = self._models.loaded
        _, owners = shown(dialogue, loaded.backend, loaded.runtime.context_length, language)
        place = picked.index if isinstance(picked.index, int) else picked.index[0]
        turn = dialogue.cut(owners[place])
        if turn:
            chip = place + 1 < len(owners) and owners[place + 1] == owners[place]
            if not chip:  # a document's own line stays as it is
                turn.content = whole_text(str(picked.value)).replace("&lt;", "<").replace("!\\[", "![")
            dialogue.turns.append(turn)
        return dialogue_values(dialogue, self._models, language)

    def take_example(self, picked: gr.SelectData) -> Values:
        """Put an example into the input."""
        return {"message": {"text": picked.value["text"], "files": []}}

    def _admit(
        self, dialogue: Dialogue, owner: str, language: Language, request: gr.Request
    ) -> Runtime | ServerRuntime:
        """Take a place for the reply; what will write it. Raises gr.Error where there is none, or no model now."""
        try:
            runtime = self._models.runtime
            self._admission.admit(str(request.session_hash), dialogue.id, alone=True, visitor=owner)
        except Refused as refused:
            raise gr.Error(word(refused.reason, language), print_exception=False) from refused
        except Glm4Error as error:
            raise gr.Error(_told(error), print_exception=False) from error
        return runtime

    def _read(self, file: str, language: Language) -> Document:
        """The document that came with a message. Raises gr.Error for one that can't be read, or not now."""
        if not self._reading.acquire(timeout=1.0):
            raise gr.Error(word("reading", language), print_exception=False)
        try:
            return read_apart(self._uploads.checked(file))
        except Glm4Error as error:
            raise gr.Error(_told(error), print_exception=False) from error
        finally:
            self._reading.release()

    def _pictures(
        self,
        dialogue: Dialogue,
        owner: str,
        tools: list[str],
        language: Language,
        place: Place,
        options: dict[str, Any],
    ) -> Iterator[Values]:
        """The chat again and again while a reply is written, and now and then saved."""
        runtime, backend = self._models.runtime, self._models.loaded.backend
        before, _ = shown(dialogue, backend, runtime.context_length, language)
        yield {"chat": [*before, coming(len(self._admission) - 1, language)]}
        chosen = [self._tools[name] for name in tools if name in self._tools]
        with closing(dialogue.reply(runtime, chosen, place.cancel, **options)) as events:
            saved = time.monotonic()
            for steps in _steps(events, language):
                yield {"chat": [*before, *steps]}
                if time.monotonic() - saved > _SAVED_EVERY:
                    save(dialogue, owner, language)
                    saved = time.monotonic()

    def _why(self, error: Glm4Error) -> Glm4Error:
        """Why a reply failed: another model is taking the place of the one that wrote it, or else the error itself."""
        try:
            _ = self._models.runtime
        except Glm4Error as swapping:
            return swapping
        return error


def _steps(events: Iterator[agent.Event], language: Language) -> Iterator[list[Shown]]:
    """The messages that a reply has become so far, at most one list a moment."""
    done: list[Shown] = []
    text, reasoning, told = "", "", 0.0
    for event in events:
        if isinstance(event, agent.Wrote):
            text, reasoning = text + event.chunk.text, reasoning + event.chunk.reasoning
            if time.monotonic() - told < _MOMENT:
                continue
        elif isinstance(event, agent.Called):
            done += live(text, reasoning, language) if text or reasoning else []
            done.append(call_step(event.call.name, event.call.arguments, None, language))
            text = reasoning = ""
        told = time.monotonic()
        yield [*done, *live(text, reasoning, language)]


def _sampling_options(values: tuple[Any, ...]) -> dict[str, Any]:
    """What overrides the model's own sampling; a field that is empty does not."""
    given = dict(zip(SAMPLING, values, strict=True))
    return {name: int(value) if name in _WHOLE else value for name, value in given.items() if value is not None}


def _told(error: Glm4Error) -> str:
    return f"{error}. {error.hint}"
