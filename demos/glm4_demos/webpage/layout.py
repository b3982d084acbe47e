"""The page: its components, and which event does what."""

from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from ..tools import TOOLS
from .events import Events
from .models import Models
from .words import EXAMPLES, LANGUAGES, word

_HERE = Path(__file__).parent
LATEX: list[dict[str, str | bool]] = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "$", "right": "$", "display": False},
    {"left": "\\(", "right": "\\)", "display": False},
    {"left": "\\[", "right": "\\]", "display": True},
]
CSS, JS = (_HERE / "page.css").read_text(encoding="utf-8"), (_HERE / "page.js").read_text(encoding="utf-8")
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


def theme() -> gr.themes.Base:
    """Fonts of the visitor's own machine, and colours that can be read (contrast of 4.5 and more)."""
    base = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    return base.set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        input_placeholder_color="*neutral_600",
        input_placeholder_color_dark="*neutral_300",
    )


def page(models: Models, language: str, at_once: int) -> gr.Blocks:
    """The page over the shared models; `at_once` replies are written at the same time, others wait."""
    say = partial(word, language=language)
    with gr.Blocks(title="glm4-intel", analytics_enabled=False, fill_height=True) as blocks:
        c: dict[str, Any] = {
            "browser": gr.BrowserState("", storage_key="glm4-browser", secret="glm4-intel"),
            "owner": gr.State(""),
            "conversation": gr.State(None),
            "file_name": gr.Textbox(visible="hidden"),
            "file_text": gr.Textbox(visible="hidden"),
        }
        with gr.Sidebar(open=True, elem_id="side"):
            c["new"] = gr.Button(say("new"), elem_id="new", variant="primary")
            c["conversations"] = gr.Radio([], label=say("conversations"), elem_id="conversations")
            c["title"] = gr.Textbox(label=say("title"), elem_id="title", max_lines=1)
            with gr.Row():
                c["rename"] = gr.Button(say("rename"), size="sm", elem_id="rename")
                c["delete"] = gr.Button(say("delete"), size="sm", elem_id="delete")
            with gr.Row():
                c["as_json"] = gr.Button(say("as_json"), size="sm", elem_id="as-json")
                c["as_markdown"] = gr.Button(say("as_markdown"), size="sm", elem_id="as-markdown")
        c["status"] = gr.Markdown(elem_id="status")
        c["chat"] = gr.Chatbot(
            label=say("chat"),
            elem_id="chat",
            height="62vh",
            latex_delimiters=LATEX,
            sanitize_html=True,
            allow_tags=False,
            editable="user",
            buttons=["copy", "copy_all"],
            group_consecutive_messages=False,
            feedback_options=None,
            placeholder=say("hello"),
            examples=[{"text": text} for text in EXAMPLES["zh" if language == "zh" else "en"]],
        )
        c["message"] = gr.MultimodalTextbox(
            label=say("message"),
            show_label=False,
            placeholder=say("ask"),
            elem_id="message",
            autofocus=True,
            file_types=[".txt", ".md", ".pdf"],
            file_count="single",
            interactive=False,  # until the page knows whose conversation it is
        )
        c["meter"] = gr.HTML(elem_id="meter")
        with gr.Accordion(say("settings"), open=False, elem_id="settings") as c["settings"]:
            _settings(c, models, language)
        _wire(blocks, c, Events(models, c, at_once), at_once)
    return blocks


def _settings(c: dict[str, Any], models: Models, language: str) -> None:
    say = partial(word, language=language)
    c["system"] = gr.Textbox(label=say("system"), lines=2, elem_id="system")
    with gr.Row():
        c["temperature"] = gr.Slider(0, 2, step=0.05, label=say("temperature"), elem_id="temperature")
        c["top_p"] = gr.Slider(0.05, 1, step=0.05, label=say("top_p"))
        c["top_k"] = gr.Slider(0, 200, step=1, label=say("top_k"))
    with gr.Row():
        c["max_new_tokens"] = gr.Slider(16, 8192, step=16, label=say("max_new_tokens"), elem_id="max-new-tokens")
        c["repetition_penalty"] = gr.Slider(0.8, 2, step=0.05, label=say("repetition_penalty"))
        c["seed"] = gr.Number(None, precision=0, minimum=0, label=say("seed"), elem_id="seed")
    c["reset"] = gr.Button(say("reset"), size="sm", elem_id="reset")
    c["tools"] = gr.CheckboxGroup(list(TOOLS), label=say("tools"), elem_id="tools")
    with gr.Row():
        c["language"] = gr.Radio(list(LANGUAGES), value=list(LANGUAGES)[language == "zh"], label=say("language"),
                                 elem_id="language")  # fmt: skip
        c["theme"] = gr.Button(say("theme"), elem_id="theme")
    with gr.Row():
        c["models"] = gr.Dropdown(label=say("models"), elem_id="models")
        c["device"] = gr.Dropdown(label=say("device"), elem_id="device")
        c["load"] = gr.Button(say("load"), elem_id="load")
    c["plot"] = gr.HTML(elem_id="plot")


def _wire(blocks: gr.Blocks, c: dict[str, Any], events: Events, at_once: int) -> None:
    """Which event does what."""
    sampling = [c[name] for name in events.SAMPLING]
    view = [c[name] for name in events.VIEW]
    language, owner, talk = c["language"], c["owner"], c["conversation"]
    busy = {"concurrency_limit": at_once, "concurrency_id": "replies", "show_progress": "hidden"}
    quick: dict[str, Any] = {"show_progress": "hidden", "queue": False}
    told: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": None}  # what may have to say what is wrong
    answering = {"fn": events.answer, "inputs": [talk, owner, c["tools"], language, *sampling],
                 "outputs": c["chat"], **busy}  # fmt: skip
    ready: dict[str, Any] = {"fn": events.answered, "inputs": [talk, owner, language],
                             "outputs": [*view, c["message"]], **quick}  # fmt: skip
    opened = [c["browser"], owner, *view, *sampling, c["models"], c["device"], c["status"], c["message"], c["system"]]
    blocks.load(events.opened, [c["browser"], language], opened, **quick)
    blocks.unload(events.left)
    asked = c["message"].submit(
        events.asked, [c["message"], talk, owner, c["system"], language], [*view, c["message"]], **told
    )
    retried = c["chat"].retry(events.retried, [talk, language], view, **quick)
    edited = c["chat"].edit(events.edited, [talk, language], view, **quick)
    replies = [each.success(**answering) for each in (asked, retried, edited)]
    for reply in replies:
        reply.then(**ready)
    c["message"].stop(events.stopped, None, None, show_progress="hidden", queue=False)
    c["chat"].undo(events.undone, [talk, owner, language], [*view, c["message"]], **told)
    c["chat"].example_select(events.example, None, c["message"], **quick)
    # what leaves the conversation ends the reply that is being written to it
    c["chat"].clear(events.cleared, [talk, owner, language], [*view, c["message"]], cancels=replies, **told)
    c["new"].click(events.begun, [owner, language], [*view, c["message"]], cancels=replies, **quick)
    c["delete"].click(events.deleted, [talk, owner, language], [*view, c["message"]], cancels=replies, **quick)
    c["conversations"].input(events.chosen, [c["conversations"], owner, language], [*view, c["message"], c["system"]],
                             cancels=replies, **quick)  # fmt: skip
    c["rename"].click(events.renamed, [c["title"], talk, owner, language], view, **told)
    for name in ("as_json", "as_markdown"):
        saved = [c["file_name"], c["file_text"]]
        handler = events.saved_json if name == "as_json" else events.saved_markdown
        c[name].click(handler, [talk], saved, **quick).success(None, saved, None, js=_SAVE)
    c["reset"].click(events.defaults, None, sampling, **quick)
    c["theme"].click(None, None, None, js=_DARK)
    language.input(events.translated, [talk, owner, language], [*view, *(c[name] for name in events.LABELLED)], **quick)
    c["load"].click(events.load, [c["models"], c["device"], language], [c["status"], *sampling])
