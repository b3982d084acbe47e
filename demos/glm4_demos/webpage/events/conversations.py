"""The list of conversations: one is begun, chosen, cleared, renamed, deleted, or saved to a file."""

import gradio as gr

from glm4_intel import Glm4Error

from ...dialogue import Dialogue
from ...saved import whole_text
from ...store import Store
from ..models import Models
from ..uploads import Uploads
from ..words import Language, word
from .values import VIEW, Values, newest, ready_input, save, view_values

_MOST = 8 << 20
"""Bytes of a conversation that is brought: reading it holds up others for a moment."""


class ConversationEvents:
    """What the list and the buttons around it do."""

    BEGUN = DELETED = (*VIEW, "message", "sure")
    CHOSEN = BROUGHT = (*BEGUN, "system")
    RENAMED = VIEW
    SAVED = ("file_name", "file_text")

    def __init__(self, models: Models, uploads: Uploads) -> None:
        self._models, self._uploads = models, uploads

    def begin(self, owner: str, language: Language) -> Values:
        """Show an empty dialogue."""
        return view_values(Dialogue(), owner, self._models, language) | ready_input() | self.keep()

    def choose(self, id: str, owner: str, language: Language) -> Values:
        """Open an earlier dialogue."""
        return self._open(Store(owner).open(id) or Dialogue(), owner, language)

    def bring(self, file: str, owner: str, language: Language) -> Values:
        """Open a conversation that was saved to a file, as one of the list."""
        try:
            dialogue = Dialogue.brought(self._brought(file))
        except Glm4Error as error:
            raise gr.Error(f"{error}. {error.hint}", print_exception=False) from error
        save(dialogue, owner, language)
        return self._open(dialogue, owner, language)

    def _brought(self, file: str) -> str:
        """The text of a file that was uploaded, which is then removed. Raises Glm4Error where it can't be taken."""
        path = self._uploads.checked(file)
        try:
            if path.stat().st_size > _MOST:
                raise Glm4Error(f"{path.name} is larger than the {_MOST >> 20} MB that are read", "Give a smaller one.")
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Glm4Error(f"{path.name} can't be read as UTF-8 text", "Give a file saved here.") from error
        finally:
            self._uploads.remove(path)

    def _open(self, dialogue: Dialogue, owner: str, language: Language) -> Values:
        view = view_values(dialogue, owner, self._models, language)
        return view | ready_input() | self.keep() | {"system": dialogue.system}

    def rename(self, title: str, dialogue: Dialogue, owner: str, language: Language) -> Values:
        """Give the dialogue another title; an empty one changes nothing."""
        dialogue = newest(dialogue, owner, language)
        dialogue.title = whole_text((title or "").strip()) or dialogue.title
        save(dialogue, owner, language)
        return view_values(dialogue, owner, self._models, language)

    def ask_to_delete(self, dialogue: Dialogue | None, language: Language) -> Values:
        """Ask first: show the buttons that delete the dialogue, by its title, or keep it."""
        title = f": {dialogue.title}" if dialogue and dialogue.title else ""
        asked = gr.update(value=word("delete_yes", language) + title)
        return {"sure": gr.update(visible=True), "delete_yes": asked}

    def keep(self) -> Values:
        """Hide the buttons that ask."""
        return {"sure": gr.update(visible=False)}

    def delete(self, dialogue: Dialogue, owner: str, language: Language) -> Values:
        """Forget the dialogue, and begin another."""
        Store(owner).delete(dialogue.id)
        return self.begin(owner, language)

    def save_json(self, dialogue: Dialogue) -> Values:
        """The dialogue as a JSON file."""
        return {"file_name": f"{_file_name(dialogue)}.json", "file_text": dialogue.as_json()}

    def save_markdown(self, dialogue: Dialogue) -> Values:
        """The dialogue as a Markdown file."""
        return {"file_name": f"{_file_name(dialogue)}.md", "file_text": dialogue.as_markdown()}


def _file_name(dialogue: Dialogue) -> str:
    """The title as a file's name."""
    kept = "".join(each if each.isalnum() or each in " -_" else "" for each in dialogue.title)
    return "-".join(kept.split())[:40] or "conversation"
