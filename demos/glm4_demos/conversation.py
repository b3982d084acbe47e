"""A conversation as the demos keep it: its turns, what is sent to the model, and how a reply joins it."""

import json
import threading
import uuid
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

from glm4_intel import Chunk, Reply, Runtime, agent
from glm4_intel.agent import Tool
from glm4_intel.agent.documents import Document

_TITLE = 48
_INLINE = 0.5
"""A document that takes less than this share of the context is put into the prompt; a longer one is read by pages."""


@dataclass
class Turn:
    """A turn: of the user, with the document that came with it; of the assistant; or of a tool."""

    role: str
    content: str
    document: dict[str, Any] | None = None
    """name, text, tokens, and whether it is `inline` in the prompt."""
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    reasoning: str = ""
    figures: dict[str, Any] | None = None
    """Of the reply that ends here: its usage and timing, the device, and why it ended."""
    seconds: float = 0.0
    """What a tool took."""

    def message(self) -> dict[str, Any]:
        """The turn in OpenAI's form, a document that is inline before the question."""
        text = self.content
        if self.document and self.document["inline"]:
            text = f"Read the text.\n\n{self.document['text'].strip()}\n\n{text}"
        return {"role": self.role, "content": text} | ({"tool_calls": self.tool_calls} if self.tool_calls else {})


@dataclass
class Conversation:
    """What was said, in order, under a system prompt."""

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    title: str = ""
    system: str = ""
    created: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))
    turns: list[Turn] = field(default_factory=list)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Conversation":
        """Raises TypeError or KeyError where the data is not a conversation's."""
        return cls(**{**data, "turns": [Turn(**turn) for turn in data["turns"]]})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def messages(self) -> list[dict[str, Any]]:
        """What the model is sent."""
        about = [_document(turn).about() for turn in self.turns if _is_paged(turn)]
        system = "\n".join([*([self.system] if self.system else []), *about])
        return [*([{"role": "system", "content": system}] if system else []), *(turn.message() for turn in self.turns)]

    def ask(self, text: str, document: Document | None = None, runtime: Runtime | None = None) -> None:
        """Add a turn of the user; the document's length is counted against the runtime's context."""
        attached = None
        if document and runtime:
            tokens = len(runtime.tokenizer.encode_text(document.text))
            inline = tokens <= _INLINE * runtime.context_length
            attached = {"name": document.name, "text": document.text, "tokens": tokens, "inline": inline}
        self.turns.append(Turn("user", text, attached))
        self.title = self.title or " ".join((text or (document.name if document else "")).split())[:_TITLE]

    def document_tools(self) -> list[Tool]:
        """The tools that read the latest document that is too long for the prompt."""
        paged = [turn for turn in self.turns if _is_paged(turn)]
        return _document(paged[-1]).tools() if paged else []

    def reply(
        self,
        runtime: Runtime,
        tools: Sequence[Tool] = (),
        cancel: threading.Event | None = None,
        **sampling: Any,
    ) -> Generator[agent.Event, None, None]:
        """Answer the last turn, tool calls included; what was written joins the conversation, a stopped reply too.

        Raises Glm4Error where the runtime refuses; the conversation is then as it was.
        """
        events = agent.run(runtime, self.messages(), [*tools, *self.document_tools()], cancel=cancel, **sampling)
        added: list[Turn] = []
        chunks: list[Chunk] = []
        try:
            for event in events:
                if isinstance(event, agent.Wrote):
                    chunks.append(event.chunk)
                    if event.chunk.finish_reason:
                        added.append(_assistant(Reply.join(chunks), runtime.device))
                        chunks = []
                elif isinstance(event, agent.Observed):
                    added.append(Turn("tool", event.content, seconds=event.seconds))
                yield event
        except GeneratorExit:  # nobody reads on: a closed tab, Ctrl-C
            events.close()  # type: ignore[attr-defined]
            written = "".join(chunk.text for chunk in chunks)
            if written:
                added.append(Turn("assistant", written, reasoning="".join(chunk.reasoning for chunk in chunks)))
            self.turns += added
            raise
        self.turns += added

    def cut(self, index: int) -> Turn | None:
        """Forget the turns from one on; the one there, if there was."""
        turn = self.turns[index] if index < len(self.turns) else None
        del self.turns[index:]
        return turn

    def last_question(self) -> int | None:
        """The index of the user's last turn."""
        return next((index for index in range(len(self.turns) - 1, -1, -1) if self.turns[index].role == "user"), None)

    def as_json(self) -> str:
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=2)

    def as_markdown(self) -> str:
        """The conversation for people to read."""
        parts = [f"# {self.title or 'Conversation'}", *([f"> {self.system}"] if self.system else [])]
        names = {"user": "You", "assistant": "GLM-4", "tool": "Tool"}
        for turn in self.turns:
            parts.append(f"## {names[turn.role]}")
            if turn.document:
                parts.append(f"*{turn.document['name']}*")
            if turn.content:
                parts.append(turn.content if turn.role != "tool" else f"```\n{turn.content}\n```")
            for call in turn.tool_calls:
                function = call["function"]
                parts.append(f"`{function['name']}`\n\n```json\n{shown_arguments(function['arguments'])}\n```")
        return "\n\n".join(parts) + "\n"


def shown_arguments(arguments: Any) -> str:
    """A call's arguments for people to read: JSON, or the code of a built-in."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False, indent=2)


def speed(figures: dict[str, Any]) -> str:
    """One line of figures about a reply, and whether it was cut short."""
    cut = {"length": " · cut off at the limit of tokens", "cancelled": " · stopped"}.get(figures["finish_reason"], "")
    left = f" · {figures['truncated_messages']} oldest messages left out" if figures["truncated_messages"] else ""
    return (
        f"{figures['device']} · {figures['completion_tokens']} tokens"
        f" · first after {figures['time_to_first_token'] * 1000:.0f} ms"
        f" · {figures['tokens_per_second']:.1f} tokens/s{cut}{left}"
    )


def _assistant(reply: Reply, device: str) -> Turn:
    figures = asdict(reply.usage) | asdict(reply.timing)
    figures |= {"tokens_per_second": reply.timing.tokens_per_second, "device": device}
    figures["finish_reason"] = reply.finish_reason
    message = reply.message()
    return Turn("assistant", reply.text, None, message.get("tool_calls", []), reply.reasoning, figures)


def _is_paged(turn: Turn) -> bool:
    return bool(turn.document and not turn.document["inline"])


def _document(turn: Turn) -> Document:
    assert turn.document
    return Document(turn.document["name"], turn.document["text"])
