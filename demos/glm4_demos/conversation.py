"""The name under which programs that were written before `Conversation` was the library's import a Dialogue."""

from .dialogue import Dialogue as Conversation
from .dialogue import Turn

__all__ = ["Conversation", "Turn"]
