"""A dialogue: what was said, as the demos show and save it. `glm4_intel.Conversation` is made of what it sends."""

import json
import threading
import uuid
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

from glm4_intel import Chunk, Reply, Runtime, agent
from glm4_intel.agent import Tool
from glm4_intel.agent.documents import Document
from glm4_intel.serving.client import ServerRuntime

from .saved import read_saved, whole_text

_TITLE = 48
_COUNTED = 400_000
"""Characters whose tokens are counted: some 100,000 tokens of English, which is most of the longest inline text."""
_SPEAKERS = {"user": "You", "assistant": "GLM-4", "tool": "Tool"}
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
    tool_call_id: str = ""
    """The call that a tool's turn answers; empty in dialogues saved before calls had ids."""

    def message(self) -> dict[str, Any]:
        """The turn in OpenAI's form, a document that is inline before the question."""
        text = self.content
        if self.document and self.document["inline"]:
            text = f"Read the text.\n\n{self.document['text'].strip()}\n\n{text}"
        calls = {"tool_calls": self.tool_calls} if self.tool_calls else {}
        answered = {"tool_call_id": self.tool_call_id} if self.tool_call_id else {}
        return {"role": self.role, "content": text} | calls | answered


@dataclass
class Dialogue:
    """Turns in order under a system prompt, with a title. Saved as JSON and read again."""

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    title: str = ""
    system: str = ""
    created: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))
    turns: list[Turn] = field(default_factory=list)
    version: int = 0
    """How often it was saved; 0 for one that never was."""
    unsaved: bool = field(default=False, compare=False)
    """Whether what was said last could not be saved."""
    _joining: "_Joining | None" = field(default=None, compare=False, repr=False)
    """What is being written."""

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Dialogue":
        """Raises TypeError or KeyError where the data is not a dialogue's."""
        return cls(**{**data, "turns": [Turn(**turn) for turn in data["turns"]]})

    @classmethod
    def from_json(cls, text: str) -> "Dialogue":
        """Raises Glm4Error where the text is not a saved dialogue."""
        return cls.from_dict(read_saved(text))

    @classmethod
    def brought(cls, text: str) -> "Dialogue":
        """A dialogue from elsewhere, as a new one: it takes no other's place. Raises Glm4Error as `from_json` does."""
        dialogue = cls.from_json(text)
        dialogue.part()
        return dialogue

    def to_dict(self) -> dict[str, Any]:
        """All that is saved, of a reply that is being written as much as there is."""
        said = [*self.turns, *(self._joining.so_far() if self._joining else ())]
        plain = {name: getattr(self, name) for name in ("id", "title", "system", "created", "version")}
        return plain | {"turns": [asdict(turn) for turn in said]}

    def part(self) -> None:
        """Become a dialogue of its own, which was never saved."""
        self.id, self.version = uuid.uuid4().hex, 0

    def join(self, other: "Dialogue") -> bool:
        """Take over what another copy has been saved with, if its turns are among these; else do nothing."""
        if self.turns[: len(other.turns)] != other.turns:
            return False
        self.title, self.version = other.title, other.version
        return True

    def messages(self) -> list[dict[str, Any]]:
        """What the model is sent."""
        about = [_document(turn).about() for turn in self.turns if _is_paged(turn)]
        system = "\n".join([*([self.system] if self.system else []), *about])
        return [*([{"role": "system", "content": system}] if system else []), *(turn.message() for turn in self.turns)]

    def ask(self, text: str, document: Document | None = None, runtime: Runtime | ServerRuntime | None = None) -> None:
        """Add a turn of the user; the document's length is counted against the runtime's context."""
        text, attached = whole_text(text), None
        if document and runtime:
            tokens = _tokens(document.text, runtime)
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
        runtime: Runtime | ServerRuntime,
        tools: Sequence[Tool] = (),
        cancel: threading.Event | None = None,
        **sampling: Any,
    ) -> Generator[agent.Event, None, None]:
        """Answer the last turn, tool calls included; what was written joins the dialogue, a stopped reply too.

        Raises Glm4Error where the runtime refuses; the dialogue is then as it was.
        """
        events = agent.run(runtime, self.messages(), [*tools, *self.document_tools()], cancel=cancel, **sampling)
        self._joining = joining = _Joining(runtime.device)
        try:
            for event in events:
                joining.take(event)
                yield event
        except GeneratorExit:  # nobody reads on: a closed tab, Ctrl-C
            events.close()  # type: ignore[attr-defined]
            self.turns += joining.so_far()
            raise
        finally:
            self._joining = None
        self.turns += joining.turns

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
        """The dialogue for people to read."""
        parts = [f"# {self.title or 'Conversation'}", *([f"> {self.system}"] if self.system else [])]
        return "\n\n".join([*parts, *(part for turn in self.turns for part in _markdown(turn))]) + "\n"


def readable(value: Any) -> str:
    """An object or a list, given as such or as JSON text, indented for people; other text, such as code, as it is."""
    if isinstance(value, str):
        try:
            parsed = json.loads(value)
        except ValueError:
            return value
        if not isinstance(parsed, (dict, list)):
            return value
        value = parsed
    return json.dumps(value, ensure_ascii=False, indent=2)


def speed(figures: dict[str, Any]) -> str:
    """One line of figures about a reply, and whether it was cut short."""
    cut = {"length": " · cut off at the limit of tokens", "cancelled": " · stopped"}.get(figures["finish_reason"], "")
    left = f" · {figures['truncated_messages']} oldest messages left out" if figures["truncated_messages"] else ""
    return (
        f"{figures['device']} · {figures['completion_tokens']} tokens"
        f" · first after {figures['time_to_first_token'] * 1000:.0f} ms"
        f" · {figures['tokens_per_second']:.1f} tokens/s{cut}{left}"
    )


class _Joining:
    """The turns that a reply's events become."""

    def __init__(self, device: str) -> None:
        self.turns: list[Turn] = []
        self._device, self._chunks = device, list[Chunk]()

    def take(self, event: agent.Event) -> None:
        if isinstance(event, agent.Wrote):
            self._chunks.append(event.chunk)
            if event.chunk.finish_reason:
                self.turns.append(_assistant(Reply.join(self._chunks), self._device))
                self._chunks = []
        elif isinstance(event, agent.Observed):
            answered = event.call.id
            self.turns.append(Turn("tool", event.content, seconds=event.seconds, tool_call_id=answered))

    def so_far(self) -> list[Turn]:
        """What there is of a reply that is in the middle, or was stopped there."""
        written = "".join(chunk.text for chunk in self._chunks)
        reasoning = "".join(chunk.reasoning for chunk in self._chunks)
        return [*self.turns, *([Turn("assistant", written, reasoning=reasoning)] if written else [])]


def _assistant(reply: Reply, device: str) -> Turn:
    figures = asdict(reply.usage) | asdict(reply.timing)
    figures |= {"tokens_per_second": reply.timing.tokens_per_second, "device": device}
    figures["finish_reason"] = reply.finish_reason
    message = reply.message()
    return Turn("assistant", reply.text, None, message.get("tool_calls", []), reply.reasoning, figures)


def _markdown(turn: Turn) -> Iterator[str]:
    """The parts of a turn: who speaks, the document's name, the text, the calls."""
    yield f"## {_SPEAKERS[turn.role]}"
    if turn.document:
        yield f"*{turn.document['name']}*"
    if turn.content:
        yield turn.content if turn.role != "tool" else f"```\n{turn.content}\n```"
    for call in turn.tool_calls:
        function = call["function"]
        yield f"`{function['name']}`\n\n```json\n{readable(function['arguments'])}\n```"


def _tokens(text: str, runtime: Runtime | ServerRuntime) -> int:
    """How many tokens a text has; of a long one, about, by its beginning: counting holds up every other thread."""
    counted = text[:_COUNTED]
    tokens = len(runtime.tokenizer.encode_text(counted))
    return tokens if counted == text else round(tokens * len(text) / len(counted))


def _is_paged(turn: Turn) -> bool:
    return bool(turn.document and not turn.document["inline"])


def _document(turn: Turn) -> Document:
    assert turn.document
    return Document(turn.document["name"], turn.document["text"])
