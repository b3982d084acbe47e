"""Where programs that were written before `chat/` was import the reading of replies from."""

from .chat.reply import ParsedReply, ReplyStream, ToolCall, parse_reply

__all__ = ["ParsedReply", "ReplyStream", "ToolCall", "parse_reply"]
