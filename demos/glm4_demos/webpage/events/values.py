"""The values that handlers return, by the names of the components that show them."""

from typing import Any

import gradio as gr

from ...dialogue import Dialogue
from ...store import Saved, Store
from ..figures import context_meter, speed_plot
from ..models import Models
from ..view import shown
from ..words import word

Values = dict[str, Any]
"""Component's name: its value, or a `gr.update`."""

SAMPLING = ("temperature", "top_p", "top_k", "max_new_tokens", "repetition_penalty", "seed")
DIALOGUE = ("dialogue", "chat", "meter", "plot", "title")
"""What shows a dialogue."""
VIEW = (*DIALOGUE, "conversations")
"""The same, and the list that it is in."""


def dialogue_values(dialogue: Dialogue, models: Models, language: str) -> Values:
    """A dialogue as DIALOGUE shows it."""
    loaded = models.loaded
    context = loaded.runtime.context_length
    messages, _ = shown(dialogue, loaded.backend, context, language)
    return {
        "dialogue": dialogue,
        "chat": messages,
        "meter": context_meter(dialogue, context, models.trims, language),
        "plot": speed_plot(dialogue, language),
        "title": dialogue.title,
    }


def view_values(dialogue: Dialogue, owner: str, models: Models, language: str) -> Values:
    """A dialogue and its owner's list as VIEW shows them."""
    titles = Store(owner).titles()
    known = any(id == dialogue.id for _, id in titles)
    value = dialogue.id if known else None
    listed = gr.update(choices=titles, value=value, label=word("conversations", language))
    return {**dialogue_values(dialogue, models, language), "conversations": listed}


def sampling_values(models: Models) -> Values:
    """The model's own sampling."""
    params, room = models.loaded.runtime.defaults, models.loaded.runtime.context_length
    return {
        "temperature": params.temperature,
        "top_p": params.top_p,
        "top_k": params.top_k,
        "max_new_tokens": gr.update(maximum=room, value=min(params.max_new_tokens, room)),
        "repetition_penalty": params.repetition_penalty,
        "seed": None,
    }


def status_line(models: Models) -> str:
    """Which model runs where, as the page's heading."""
    loaded = models.loaded
    why = f" ({loaded.runtime.device_reason})" if loaded.runtime.device_reason else ""
    return f"# {loaded.directory.name} · {loaded.runtime.device}{why} · {loaded.backend}"


def busy_input() -> Values:
    """The input while a reply is written: empty, with a button that stops it."""
    return {"message": gr.update(value={"text": "", "files": []}, submit_btn=False, stop_btn=True)}


def ready_input() -> Values:
    """The input when the next question may be sent."""
    return {"message": gr.update(submit_btn=True, stop_btn=False)}


def save(dialogue: Dialogue, owner: str, language: str) -> None:
    """Keep a dialogue on disk. A full disk is told, and what another tab has done to it; the page goes on."""
    try:
        saved = Store(owner).save(dialogue)
    except OSError as error:
        gr.Warning(f"{word('not_saved', language)}: {error.strerror}", duration=None)
        return
    if saved is not Saved.THERE:
        gr.Warning(word("deleted" if saved is Saved.DELETED else "beside", language), duration=None)


def newest(dialogue: Dialogue, owner: str, language: str) -> Dialogue:
    """The dialogue as another tab has left it, to add to; a new one where it was deleted."""
    found = Store(owner).newest(dialogue)
    if found is None:
        gr.Warning(word("deleted", language), duration=None)
        return Dialogue(system=dialogue.system)
    if found is not dialogue:
        gr.Info(word("went_on", language))
    return found


def require_newest(dialogue: Dialogue, owner: str, language: str) -> None:
    """Raises gr.Error where another tab has gone on with the dialogue: nobody takes back what they have not seen."""
    if Store(owner).newest(dialogue) is not dialogue:
        raise gr.Error(word("look_again", language), print_exception=False)
