"""What the page's events do. A visitor's conversation lives in the page's state and on disk, never with another's."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from glm4_intel import Glm4Error, agent
from glm4_intel.agent.documents import Document
from glm4_intel.devices import discover
from glm4_intel.devices.drivers import missing_drivers

from ..conversation import Conversation
from ..store import Store
from ..tools import TOOLS
from .figures import context_meter, speed_plot
from .models import Models
from .view import Shown, call_step, coming, live, shown
from .words import EXAMPLES, LANGUAGES, word

_ID = re.compile("[0-9a-f]{32}")
_MOMENT = 0.1
"""Seconds between two pictures of a reply: each takes processor time from the engine."""


class Events:
    """The page's event handlers; `components` are the layout's, by name, and `most` is how many replies may be due."""

    SAMPLING = ("temperature", "top_p", "top_k", "max_new_tokens", "repetition_penalty", "seed")
    VIEW = ("conversation", "chat", "meter", "plot", "conversations", "title")
    LABELLED = ("new", "title", "rename", "delete", "as_json", "as_markdown", "message", "settings", "system",
                *SAMPLING, "reset", "tools", "language", "theme", "models", "device", "load")  # fmt: skip

    def __init__(self, models: Models, components: dict[str, Any], most: int) -> None:
        self._models, self._components, self._most = models, components, most
        self._due: dict[tuple[str, str], _Due] = {}
        """The replies that are awaited, by page and conversation."""
        self._letting_in = threading.Lock()

    # the page

    def opened(self, browser: str, language: str, request: gr.Request) -> list[Any]:
        """A page was opened: its owner is the user, else the browser, by the id that it keeps; a new one gets one.

        The owner stays on the server, where no visitor can change it to another's.
        """
        browser = browser if _ID.fullmatch(browser or "") else Conversation().id
        owner = request.username or browser
        titles = Store(owner).titles()
        latest = (Store(owner).open(titles[0][1]) if titles else None) or Conversation()
        view = self._view(latest, owner, LANGUAGES[language])
        places = [str(each) for each in self._models.there()]
        models = gr.update(choices=[(Path(each).name, each) for each in places], value=str(self._models.directory))
        there = discover()
        missing = [
            f"{lack.device}: {lack.problem}. {lack.remedy}" for lack in missing_drivers({each.kind for each in there})
        ]
        devices = gr.update(
            choices=["AUTO", *(each.name for each in there)], value=self._models.device, info=" ".join(missing) or None
        )
        message = gr.update(interactive=True)
        return [browser, owner, *view, *self.defaults(), models, devices, self._status(), message, latest.system]

    def left(self, request: gr.Request) -> None:
        """A page was closed: its reply ends."""
        for key, due in self._due_to(request):
            due.cancel.set()
            if not due.begun:
                del self._due[key]

    def translated(self, conversation: Conversation, owner: str, language: str) -> list[Any]:
        """Everything in the other language."""
        code = LANGUAGES[language]
        changed: list[Any] = []
        for name in self.LABELLED:
            text = word(name, code)
            component = self._components[name]
            if isinstance(component, gr.Button):
                changed.append(gr.update(value=text))
            elif isinstance(component, gr.MultimodalTextbox):
                changed.append(gr.update(placeholder=word("ask", code), label=text))
            else:
                changed.append(gr.update(label=text))
        view = self._view(conversation, owner, code)
        examples = [{"text": text} for text in EXAMPLES[code]]
        view[1] = gr.update(value=view[1], label=word("chat", code), placeholder=word("hello", code), examples=examples)
        return [*view, *changed]

    def defaults(self) -> list[Any]:
        """The model's own sampling."""
        params = self._models.runtime.defaults
        room = self._models.runtime.context_length
        most = gr.update(maximum=room, value=min(params.max_new_tokens, room))
        return [params.temperature, params.top_p, params.top_k, most, params.repetition_penalty, None]

    # a message

    def asked(
        self,
        given: dict[str, Any],
        conversation: Conversation,
        owner: str,
        system: str,
        language: str,
        request: gr.Request,
    ) -> list[Any]:
        """A message was sent: it joins the conversation, its document too."""
        text, code = given.get("text", "").strip(), LANGUAGES[language]
        files = given.get("files") or []
        if not text and not files:
            raise gr.Error(word("empty", code), print_exception=False)
        try:
            document = Document.open(files[0]) if files else None
        except Glm4Error as error:
            raise gr.Error(f"{error}. {error.hint}", print_exception=False) from error
        self._let_in(conversation, code, request)
        conversation.system = (system or "").strip()
        conversation.ask(text, document, self._models.runtime)
        return [*self._view(conversation, owner, code), _busy()]

    def answer(
        self,
        conversation: Conversation,
        owner: str,
        tools: list[str],
        language: str,
        request: gr.Request,
        *sampling: Any,
    ) -> Iterator[list[Shown]]:
        """The reply as it is written, tool calls and all; it joins the conversation in its place."""
        code, key = LANGUAGES[language], (str(request.session_hash), conversation.id)
        due = self._due.setdefault(key, _Due())
        due.begun = True
        try:
            given = dict(zip(self.SAMPLING, sampling, strict=True))
            options = {name: _whole(name, value) for name, value in given.items() if value is not None}
            before, _ = shown(conversation, self._models.backend, self._context, code)
            yield [*before, coming(len(self._due) - 1, code)]
            chosen = [TOOLS[name] for name in tools]
            with closing(conversation.reply(self._models.runtime, chosen, due.cancel, **options)) as events:
                yield from _pictures(events, before, code)
        except Glm4Error as error:
            gr.Warning(f"{word('failed', code)}: {error}. {error.hint}", duration=None)
        finally:
            due.cancel.set()
            self._due.pop(key, None)
            _save(conversation, owner, code)

    def answered(self, conversation: Conversation, owner: str, language: str) -> list[Any]:
        """The reply is whole: its figures, and the input for the next."""
        return [*self._view(conversation, owner, LANGUAGES[language]), _ready()]

    def stopped(self, request: gr.Request) -> None:
        """The reply being written for this page ends here."""
        for _, due in self._due_to(request):
            due.cancel.set()

    def _let_in(self, conversation: Conversation, language: str, request: gr.Request) -> None:
        """A reply is due from now on. Raises gr.Error where one is being written, or as many are due as may be."""
        key = (str(request.session_hash), conversation.id)
        with self._letting_in:
            due = self._due.get(key)
            if due and due.begun:
                raise gr.Error(word("still", language), print_exception=False)
            if not due and len(self._due) >= self._most:
                raise gr.Error(word("busy", language), print_exception=False)
            self._due[key] = _Due()

    def _due_to(self, request: gr.Request) -> list[tuple[tuple[str, str], "_Due"]]:
        return [(key, due) for key, due in list(self._due.items()) if key[0] == str(request.session_hash)]

    def retried(
        self, conversation: Conversation, language: str, picked: gr.RetryData, request: gr.Request
    ) -> list[Any]:
        """The last question is answered anew."""
        self._let_in(conversation, LANGUAGES[language], request)
        last = conversation.last_question()
        if last is not None:
            conversation.cut(last + 1)
        return self._view(conversation, None, LANGUAGES[language])

    def undone(self, conversation: Conversation, owner: str, language: str, picked: gr.UndoData) -> list[Any]:
        """The last exchange is taken back; its question returns to the input."""
        last = conversation.last_question()
        turn = conversation.cut(last) if last is not None else None
        _save(conversation, owner, LANGUAGES[language])
        return [
            *self._view(conversation, owner, LANGUAGES[language]),
            {"text": turn.content if turn else "", "files": []},
        ]

    def edited(self, conversation: Conversation, language: str, picked: gr.EditData, request: gr.Request) -> list[Any]:
        """A question was changed: what followed it is forgotten, and it is answered anew."""
        self._let_in(conversation, LANGUAGES[language], request)
        _, owners = shown(conversation, self._models.backend, self._context, LANGUAGES[language])
        place = picked.index if isinstance(picked.index, int) else picked.index[0]
        turn = conversation.cut(owners[place])
        chip = place + 1 < len(owners) and owners[place + 1] == owners[place]  # a document's own line stays as it is
        if turn and chip:
            conversation.turns.append(turn)
        elif turn:
            text = picked.value if isinstance(picked.value, str) else str(picked.value)
            turn.content = text.replace("&lt;", "<").replace("!\\[", "![")
            conversation.turns.append(turn)
        return self._view(conversation, None, LANGUAGES[language])

    def cleared(self, conversation: Conversation, owner: str, language: str) -> list[Any]:
        """The conversation is emptied; its place in the list stays."""
        conversation.cut(0)
        _save(conversation, owner, LANGUAGES[language])
        return [*self._view(conversation, owner, LANGUAGES[language]), _ready()]

    def example(self, picked: gr.SelectData) -> dict[str, Any]:
        """An example goes to the input."""
        return {"text": picked.value["text"], "files": []}

    # the list of conversations

    def begun(self, owner: str, language: str) -> list[Any]:
        """A new conversation."""
        return [*self._view(Conversation(), owner, LANGUAGES[language]), _ready()]

    def chosen(self, id: str, owner: str, language: str) -> list[Any]:
        """An earlier conversation is opened."""
        conversation = Store(owner).open(id) or Conversation()
        return [*self._view(conversation, owner, LANGUAGES[language]), _ready(), conversation.system]

    def renamed(self, title: str, conversation: Conversation, owner: str, language: str) -> list[Any]:
        conversation.title = (title or "").strip() or conversation.title
        _save(conversation, owner, LANGUAGES[language])
        return self._view(conversation, owner, LANGUAGES[language])

    def deleted(self, conversation: Conversation, owner: str, language: str) -> list[Any]:
        Store(owner).delete(conversation.id)
        return self.begun(owner, language)

    def saved_json(self, conversation: Conversation) -> tuple[str, str]:
        return f"{_file_name(conversation)}.json", conversation.as_json()

    def saved_markdown(self, conversation: Conversation) -> tuple[str, str]:
        return f"{_file_name(conversation)}.md", conversation.as_markdown()

    # the model

    def load(self, directory: str, device: str, language: str, progress: gr.Progress = gr.Progress()) -> Iterator[Any]:  # noqa: B008
        """Another model or device for every visitor; what is wrong with it is said in its place."""
        kept = [gr.skip()] * len(self.SAMPLING)
        progress(0, desc=word("loading", LANGUAGES[language]))
        try:
            self._models.load(Path(directory), device, lambda stage, share: progress(share or 0, desc=stage))
        except Glm4Error as error:
            yield [f"**{error}** {error.hint}", *kept]
            return
        yield [self._status(), *self.defaults()]

    @property
    def _context(self) -> int:
        return self._models.runtime.context_length

    def _status(self) -> str:
        runtime = self._models.runtime
        why = f" ({runtime.device_reason})" if runtime.device_reason else ""
        return f"# {self._models.directory.name} · {runtime.device}{why} · {self._models.backend}"

    def _view(self, conversation: Conversation, owner: str | None, language: str) -> list[Any]:
        """The values of VIEW's components; without an owner the list of conversations is left as it is."""
        messages, _ = shown(conversation, self._models.backend, self._context, language)
        titles = Store(owner).titles() if owner else []
        known = any(id == conversation.id for _, id in titles)
        listed = gr.update(choices=titles, value=conversation.id if known else None,
                          label=word("conversations", language))  # fmt: skip
        meter = context_meter(conversation, self._context, self._models.trims, language)
        plot = speed_plot(conversation, language)
        return [conversation, messages, meter, plot, listed if owner else gr.skip(), conversation.title]


@dataclass
class _Due:
    """A reply that is awaited."""

    cancel: threading.Event = field(default_factory=threading.Event)
    begun: bool = False


def _pictures(events: Iterator[agent.Event], before: list[Shown], language: str) -> Iterator[list[Shown]]:
    """The conversation's messages again and again while a reply is written, a moment apart."""
    steps: list[Shown] = []
    text, reasoning, told = "", "", 0.0
    for event in events:
        if isinstance(event, agent.Wrote):
            text, reasoning = text + event.chunk.text, reasoning + event.chunk.reasoning
            if time.monotonic() - told < _MOMENT:
                continue
        elif isinstance(event, agent.Called):
            steps += [*(live(text, reasoning, language) if text or reasoning else []),
                      call_step(event.call.name, event.call.arguments, None, language)]  # fmt: skip
            text = reasoning = ""
        told = time.monotonic()
        yield [*before, *steps, *live(text, reasoning, language)]


def _save(conversation: Conversation, owner: str, language: str) -> None:
    try:
        Store(owner).save(conversation)
    except OSError as error:  # a full disk: the page goes on, and says so
        gr.Warning(f"{word('not_saved', language)}: {error.strerror}", duration=None)


def _busy() -> dict[str, Any]:
    return gr.update(value={"text": "", "files": []}, submit_btn=False, stop_btn=True)


def _ready() -> dict[str, Any]:
    return gr.update(submit_btn=True, stop_btn=False)


def _whole(name: str, value: float) -> float | int:
    return int(value) if name in ("top_k", "max_new_tokens", "seed") else value


def _file_name(conversation: Conversation) -> str:
    """The title as a file's name."""
    kept = "".join(each if each.isalnum() or each in " -_" else "" for each in conversation.title)
    return "-".join(kept.split())[:40] or "conversation"
