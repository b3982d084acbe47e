"""The page itself: it is opened, left, and shown in another language."""

import re
from contextlib import suppress

import gradio as gr

from glm4_intel.devices import discover
from glm4_intel.devices.drivers import missing_drivers

from ...dialogue import Dialogue
from ...store import HERE, Store
from ..admission import Admission
from ..door.gate import OURS
from ..models import Models
from ..words import EXAMPLES, Language, word
from .values import SAMPLING, VIEW, Values, sampling_values, status_line, view_values

_ID = re.compile("[0-9a-f]{32}")
_BUTTONS = ("new", "rename", "delete", "delete_yes", "delete_no", "as_json", "as_markdown", "reset", "theme", "load")
_FIELDS = ("title", "bring", "settings", "system", *SAMPLING, "tools", "language", "models", "device")


class PageEvents:
    """What opening, leaving and translating the page do."""

    OPENED = ("browser", "owner", *VIEW, *SAMPLING, "models", "device", "status", "message", "system")
    TRANSLATED = (*VIEW, *_BUTTONS, *_FIELDS, "message")

    def __init__(self, models: Models, admission: Admission) -> None:
        self._models, self._admission = models, admission

    def open_page(self, browser: str, language: Language, request: gr.Request) -> Values:
        """Show the owner's latest dialogue. The owner is the user, else the browser, by the id that it keeps.

        On a page for one person, the gate tells that person's requests, which come from any of their browsers.
        A new browser gets an id. The owner stays on the server, where no visitor can change it to another's.
        """
        browser = browser if isinstance(browser, str) and _ID.fullmatch(browser) else Dialogue().id
        owner = request.username or (self._own(browser) if OURS in request.headers else browser)
        latest = Store(owner).latest() or Dialogue()
        return {
            "browser": browser,
            "owner": owner,
            **view_values(latest, owner, self._models, language),
            **sampling_values(self._models),
            **self._choices(),
            "status": status_line(self._models),
            "message": gr.update(interactive=True),
            "system": latest.system,
        }

    def _own(self, browser: str) -> str:
        """The machine's own person, with the conversations that this browser's id had before."""
        with suppress(OSError):
            Store(HERE).take_over(Store(browser))
        return HERE

    def _choices(self) -> Values:
        """The models and the devices that there are, and what a driver lacks."""
        loaded, devices = self._models.loaded, discover()
        places = [(each.name, str(each)) for each in self._models.available()]
        lacks = missing_drivers({each.kind for each in devices})
        missing = " ".join(f"{lack.device}: {lack.problem}. {lack.remedy}" for lack in lacks)
        names = ["AUTO", *(each.name for each in devices)]
        return {
            "models": gr.update(choices=places, value=str(loaded.directory)),
            "device": gr.update(choices=names, value=loaded.device, info=missing or None),
        }

    def leave(self, request: gr.Request) -> None:
        """End the page's replies: it was closed."""
        self._admission.leave(str(request.session_hash))

    def translate(self, dialogue: Dialogue, owner: str, language: Language) -> Values:
        """Show everything in the other language."""
        view = view_values(dialogue, owner, self._models, language)
        examples = [{"text": text} for text in EXAMPLES[language]]
        chat = gr.update(
            value=view["chat"], label=word("chat", language), placeholder=word("hello", language), examples=examples
        )
        return {
            **view,
            **{name: gr.update(value=word(name, language)) for name in _BUTTONS},
            **{name: gr.update(label=word(name, language)) for name in _FIELDS},
            "title": gr.update(value=view["title"], label=word("title", language)),
            "message": gr.update(placeholder=word("ask", language), label=word("message", language)),
            "chat": chat,
        }
