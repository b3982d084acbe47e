"""The page's components, each by its name."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import gradio as gr

from .models import Models
from .quiet import Page
from .setting import Setting
from .wiring import Components, wire
from .words import EXAMPLES, LANGUAGES, word

Say = Callable[[str], str]
"""A word of the page in the language that it begins with, by its name."""

_HERE = Path(__file__).parent
LATEX: list[dict[str, str | bool]] = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "$", "right": "$", "display": False},
    {"left": "\\(", "right": "\\)", "display": False},
    {"left": "\\[", "right": "\\]", "display": True},
]
CSS, JS = (_HERE / "page.css").read_text(encoding="utf-8"), (_HERE / "page.js").read_text(encoding="utf-8")


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


def page(models: Models, setting: Setting) -> gr.Blocks:
    """The page over the shared models."""
    language = setting.language
    say = partial(word, language=language)
    with Page(title="glm4-intel", analytics_enabled=False, fill_height=True) as blocks:
        components = _hidden()
        with gr.Sidebar(open=True, elem_id="side"):
            components |= _list_of_conversations(say)
        components |= _conversation(say, language)
        with gr.Accordion(say("settings"), open=False, elem_id="settings") as settings:
            components |= {"settings": settings, "system": gr.Textbox(label=say("system"), lines=2, elem_id="system")}
            components |= _sampling(say) | _tools_and_page(say, setting) | _models(say, setting)
            components["plot"] = gr.HTML(elem_id="plot")
        wire(blocks, components, models, setting)
    return blocks


def _hidden() -> Components:
    """What the page remembers, and a file on its way to the browser."""
    return {
        "browser": gr.BrowserState("", storage_key="glm4-browser", secret="glm4-intel"),
        "owner": gr.State(None),
        "dialogue": gr.State(None),
        "file_name": gr.Textbox(visible="hidden"),
        "file_text": gr.Textbox(visible="hidden"),
    }


def _list_of_conversations(say: Say) -> Components:
    made: Components = {
        "new": gr.Button(say("new"), elem_id="new", variant="primary"),
        "conversations": gr.Radio([], label=say("conversations"), elem_id="conversations"),
        "title": gr.Textbox(label=say("title"), elem_id="title", max_lines=1),
    }
    for pair in (("rename", "delete"), ("as_json", "as_markdown")):
        with gr.Row():
            made |= {name: _small_button(say, name) for name in pair}
    with gr.Row(visible=False) as sure:
        made |= {"sure": sure, "delete_yes": _small_button(say, "delete_yes", "stop")}
        made |= {"delete_no": _small_button(say, "delete_no")}
    bring = gr.UploadButton(say("bring"), size="sm", elem_id="bring", file_types=[".json"], file_count="single")
    return made | {"bring": bring}


def _small_button(say: Say, name: str, variant: Literal["secondary", "stop"] = "secondary") -> gr.Button:
    return gr.Button(say(name), size="sm", elem_id=name.replace("_", "-"), variant=variant)


def _conversation(say: Say, language: str) -> Components:
    """The model's name, the messages, the input and the context's meter."""
    return {
        "status": gr.Markdown(elem_id="status"),
        "chat": _chat(say, language),
        "message": gr.MultimodalTextbox(
            label=say("message"),
            show_label=False,
            placeholder=say("ask"),
            elem_id="message",
            autofocus=True,
            file_types=[".txt", ".md", ".pdf"],
            file_count="single",
            interactive=False,  # until the page knows whose conversation it is
        ),
        "meter": gr.HTML(elem_id="meter"),
    }


def _chat(say: Say, language: str) -> gr.Chatbot:
    return gr.Chatbot(
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


def _sampling(say: Say) -> Components:
    made: Components = {}
    with gr.Row():
        made["temperature"] = gr.Slider(0, 2, step=0.05, label=say("temperature"), elem_id="temperature")
        made["top_p"] = gr.Slider(0.05, 1, step=0.05, label=say("top_p"))
        made["top_k"] = gr.Slider(0, 200, step=1, label=say("top_k"))
    with gr.Row():
        made["max_new_tokens"] = gr.Slider(16, 8192, step=16, label=say("max_new_tokens"), elem_id="max-new-tokens")
        made["repetition_penalty"] = gr.Slider(0.8, 2, step=0.05, label=say("repetition_penalty"))
        made["seed"] = gr.Number(None, precision=0, minimum=0, label=say("seed"), elem_id="seed")
    return made | {"reset": gr.Button(say("reset"), size="sm", elem_id="reset")}


def _tools_and_page(say: Say, setting: Setting) -> Components:
    """The tools that may be called, the page's language, and its colours."""
    made: Components = {"tools": gr.CheckboxGroup(list(setting.tools), label=say("tools"), elem_id="tools")}
    with gr.Row():
        choices = list(LANGUAGES.items())
        made["language"] = gr.Radio(choices, value=setting.language, label=say("language"), elem_id="language")
        made["theme"] = gr.Button(say("theme"), elem_id="theme")
    return made


def _models(say: Say, setting: Setting) -> Components:
    """The model and its device, where a visitor may change them for everybody."""
    shown = setting.may_load
    with gr.Row():
        return {
            "models": gr.Dropdown(label=say("models"), elem_id="models", visible=shown),
            "device": gr.Dropdown(label=say("device"), elem_id="device", visible=shown),
            "load": gr.Button(say("load"), elem_id="load", visible=shown),
        }
