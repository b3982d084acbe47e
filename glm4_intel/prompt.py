"""Where programs that were written before `chat/` was import the tokenizer of chats from, under its earlier name."""

from .chat.tokenizer import ChatTokenizer as Prompt

__all__ = ["Prompt"]
