"""Which event calls which handler, subject by subject, with the components given by name."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import wraps
from inspect import isgeneratorfunction
from typing import Any

import gradio as gr

from .admission import Admission
from .events.conversations import ConversationEvents
from .events.models import ModelEvents
from .events.page import PageEvents
from .events.replies import ReplyEvents
from .events.values import SAMPLING, Values
from .models import Models
from .setting import Setting

Components = dict[str, Any]

_QUICK: dict[str, Any] = {"show_progress": "hidden", "queue": False}
_TELLING: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": None}
"""For a handler that may have to say what is wrong."""
_DARK = """() => {
  const dark = document.body.classList.toggle("dark");
  localStorage.setItem("glm4-dark", dark ? "1" : "0");
}"""
_SAVE = """(name, text) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type: "text/plain;charset=utf-8"}));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}"""


class Wiring:
    """Joins Gradio's events and our handlers, which know components by name alone."""

    def __init__(self, components: Components) -> None:
        self._components = components

    def on(
        self,
        event: Callable[..., Any],
        handler: Callable[..., Any],
        reads: Sequence[str] = (),
        shows: Sequence[str] = (),
        **options: Any,
    ) -> Any:
        """Call the handler on an event, with the values of the components that it `reads`, in its parameters' order.

        What it returns may name any of those that it `shows`; the others stay as they are.
        """
        places = [place for place, name in enumerate(reads) if name in ("dialogue", "owner")]
        called = _once_opened(handler, places[0]) if places else handler
        return event(self.by_component(called), self._named(reads), self._named(shows), **options)

    def by_component(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """The handler as Gradio calls it: what it returns by name is given by component."""
        if isgeneratorfunction(handler):

            @wraps(handler)
            def stream(*args: Any) -> Iterator[Components | None]:
                with closing(handler(*args)) as values:
                    yield from map(self._keyed, values)

            return stream

        @wraps(handler)
        def call(*args: Any) -> Any:
            return self._keyed(handler(*args))

        return call

    def _keyed(self, values: Values | None) -> dict[Any, Any] | None:
        return None if values is None else {self._components[name]: value for name, value in values.items()}

    def _named(self, names: Sequence[str]) -> list[Any]:
        return [self._components[name] for name in names]


def wire(blocks: gr.Blocks, components: Components, models: Models, setting: Setting) -> None:
    """Join every event of the page with its handler."""
    wiring, admission = Wiring(components), Admission(setting.at_once, setting.each)
    _wire_page(wiring, blocks, components, PageEvents(models, admission))
    replies = _wire_replies(wiring, components, ReplyEvents(models, admission, setting), setting.at_once)
    _wire_conversations(wiring, components, ConversationEvents(models, setting.uploads), replies)
    _wire_models(wiring, components, ModelEvents(models), setting.may_load)


def _once_opened(handler: Callable[..., Any], place: int) -> Callable[..., Any]:
    """The handler for pages that were opened alone: a server that has been started anew knows nothing of older ones."""

    def check(values: tuple[Any, ...]) -> None:
        if values[place] is None:
            raise gr.Error("Reload the page. 请刷新页面。", print_exception=False)

    if isgeneratorfunction(handler):

        @wraps(handler)
        def stream(*values: Any) -> Iterator[Any]:
            check(values)
            yield from handler(*values)

        return stream

    @wraps(handler)
    def call(*values: Any) -> Any:
        check(values)
        return handler(*values)

    return call


def _wire_page(wiring: Wiring, blocks: gr.Blocks, c: Components, events: PageEvents) -> None:
    wiring.on(blocks.load, events.open_page, ("browser", "language"), events.OPENED, **_QUICK)
    blocks.unload(events.leave)
    wiring.on(c["language"].input, events.translate, ("dialogue", "owner", "language"), events.TRANSLATED, **_QUICK)
    c["theme"].click(None, None, None, js=_DARK)


def _wire_replies(wiring: Wiring, c: Components, events: ReplyEvents, at_once: int) -> list[Any]:
    """The events that write a reply, for others to end."""
    message, chat, here = c["message"], c["chat"], ("dialogue", "owner", "language")
    asked = [
        wiring.on(message.submit, events.submit, ("message", "dialogue", "owner", "system", "language"),
                  events.SUBMITTED, **_TELLING),
        wiring.on(chat.retry, events.retry, here, events.AGAIN, **_TELLING),
        wiring.on(chat.edit, events.edit, here, events.AGAIN, **_TELLING),
    ]  # fmt: skip
    busy = {"concurrency_limit": at_once, "concurrency_id": "replies", "show_progress": "hidden"}
    reads = ("dialogue", "owner", "tools", "language", *SAMPLING)
    replies = [wiring.on(each.success, events.answer, reads, ("chat",), **busy) for each in asked]
    for reply in replies:
        wiring.on(reply.then, events.finish, here, events.FINISHED, **_QUICK)
    message.stop(events.stop, None, None, **_QUICK)
    wiring.on(chat.undo, events.undo, here, events.UNDONE, **_TELLING)
    wiring.on(chat.example_select, events.take_example, (), ("message",), **_QUICK)
    return replies


def _wire_conversations(wiring: Wiring, c: Components, events: ConversationEvents, replies: list[Any]) -> None:
    """What leaves a dialogue ends the reply that is being written to it."""
    here, quick, telling = ("dialogue", "owner", "language"), _QUICK | {"cancels": replies}, _TELLING
    wiring.on(c["new"].click, events.begin, ("owner", "language"), events.BEGUN, **quick)
    wiring.on(c["conversations"].input, events.choose, ("conversations", "owner", "language"), events.CHOSEN, **quick)
    wiring.on(c["delete_yes"].click, events.delete, here, events.DELETED, **quick)
    wiring.on(c["chat"].clear, events.begin, ("owner", "language"), events.BEGUN, **quick)
    wiring.on(c["rename"].click, events.rename, ("title", *here), events.RENAMED, **telling)
    for button, handler in (("as_json", events.save_json), ("as_markdown", events.save_markdown)):
        made = wiring.on(c[button].click, handler, ("dialogue",), events.SAVED, **_QUICK)
        made.success(None, [c["file_name"], c["file_text"]], None, js=_SAVE)
    wiring.on(c["delete"].click, events.ask_to_delete, ("dialogue", "language"), ("sure", "delete_yes"), **_QUICK)
    wiring.on(c["delete_no"].click, events.keep, (), ("sure",), **_QUICK)
    wiring.on(c["bring"].upload, events.bring, ("bring", "owner", "language"), events.BROUGHT, **telling)


def _wire_models(wiring: Wiring, c: Components, events: ModelEvents, may_load: bool) -> None:
    """Where no visitor may load a model, there is no event that would."""
    if may_load:
        wiring.on(c["load"].click, events.load, ("models", "device", "language"), events.LOADED)
    wiring.on(c["reset"].click, events.reset, (), events.RESET, **_QUICK)
