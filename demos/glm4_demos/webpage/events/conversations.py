"""The list of conversations: one is begun, chosen, cleared, renamed, deleted, or saved to a file."""

from ...dialogue import Dialogue
from ...store import Store
from ..models import Models
from ..words import Language
from .values import VIEW, Values, ready_input, save, view_values


class ConversationEvents:
    """What the list and the buttons around it do."""

    BEGUN = CLEARED = DELETED = (*VIEW, "message")
    CHOSEN = (*VIEW, "message", "system")
    RENAMED = VIEW
    SAVED = ("file_name", "file_text")

    def __init__(self, models: Models) -> None:
        self._models = models

    def begin(self, owner: str, language: Language) -> Values:
        """Show an empty dialogue."""
        return view_values(Dialogue(), owner, self._models, language) | ready_input()

    def choose(self, id: str, owner: str, language: Language) -> Values:
        """Open an earlier dialogue."""
        dialogue = Store(owner).open(id) or Dialogue()
        return view_values(dialogue, owner, self._models, language) | ready_input() | {"system": dialogue.system}

    def clear(self, dialogue: Dialogue, owner: str, language: Language) -> Values:
        """Empty the dialogue; its place in the list stays."""
        dialogue.cut(0)
        save(dialogue, owner, language)
        return view_values(dialogue, owner, self._models, language) | ready_input()

    def rename(self, title: str, dialogue: Dialogue, owner: str, language: Language) -> Values:
        """Give the dialogue another title; an empty one changes nothing."""
        dialogue.title = (title or "").strip() or dialogue.title
        save(dialogue, owner, language)
        return view_values(dialogue, owner, self._models, language)

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
