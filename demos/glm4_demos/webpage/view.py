"""A conversation as the chat component shows it: thoughts and tool calls folded away, figures under each reply."""

import re
from typing import Any

from ..dialogue import Dialogue, Turn, readable
from .figures import reply_line
from .words import word

Shown = dict[str, Any]

_CODE_AND_FORMULAS = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]*`|\$\$.+?\$\$|\$[^$\n]+\$)", re.DOTALL)


def shown(dialogue: Dialogue, backend: str, context: int, language: str) -> tuple[list[Shown], list[int]]:
    """The component's messages, and for each of them the index of its turn."""
    messages: list[Shown] = []
    owners: list[int] = []
    for index, turn in enumerate(dialogue.turns):
        if turn.role == "tool":  # shown with its call
            continue
        results = [each for each in _after(dialogue.turns, index) if each.role == "tool"]
        for message in _messages(turn, results, backend, context, language):
            messages.append(message)
            owners.append(index)
    return messages, owners


def coming(others: int, language: str) -> Shown:
    """In the place of a reply that has not begun, because of its prompt's length or of other visitors' replies."""
    why = f" ({word('others', language)}: {others})" if others else ""
    return {"role": "assistant", "content": f"*{word('coming', language)}{why}*"}


def live(text: str, reasoning: str, language: str) -> list[Shown]:
    """A reply that is being written."""
    thoughts = [_thoughts(reasoning, language, done=bool(text))] if reasoning else []
    return [*thoughts, *([{"role": "assistant", "content": plain_tags(text)}] if text or not reasoning else [])]


def call_step(name: str, arguments: Any, result: Turn | None, language: str) -> Shown:
    """A tool call as a step that folds: its arguments, and its result when there is one."""
    body = f"**{word('arguments', language)}**\n{_fenced(readable(arguments), 'json')}"
    metadata: dict[str, Any] = {
        "title": f"{word('tool', language)}: {plain_tags(name)}",
        "status": "done" if result else "pending",
    }
    if result:
        body += f"\n\n**{word('result', language)}**\n{_fenced(readable(result.content), 'json')}"
        metadata["duration"] = round(result.seconds, 2)
    return {"role": "assistant", "content": body, "metadata": metadata}


def plain_tags(text: str) -> str:
    """The text with its HTML as text and without images, which could be another host's; code and formulas stay."""
    parts = _CODE_AND_FORMULAS.split(text)
    return "".join(
        part if index % 2 else part.replace("<", "&lt;").replace("![", "!\\[") for index, part in enumerate(parts)
    )


def _messages(turn: Turn, results: list[Turn], backend: str, context: int, language: str) -> list[Shown]:
    if turn.role == "user":
        chip = [{"role": "user", "content": _chip(turn.document, context, language)}] if turn.document else []
        return [*chip, {"role": "user", "content": plain_tags(turn.content)}]
    made: list[Shown] = [_thoughts(turn.reasoning, language, done=True)] if turn.reasoning else []
    if turn.content or not turn.tool_calls:
        line = f"\n\n{reply_line(turn.figures, backend, language)}" if turn.figures else ""
        made.append({"role": "assistant", "content": plain_tags(turn.content) + line})
    for index, call in enumerate(turn.tool_calls):
        result = results[index] if index < len(results) else None
        made.append(call_step(call["function"]["name"], call["function"]["arguments"], result, language))
    return made


def _after(turns: list[Turn], index: int) -> list[Turn]:
    """The tools' turns that answer the one at `index`."""
    end = index + 1
    while end < len(turns) and turns[end].role == "tool":
        end += 1
    return turns[index + 1 : end]


def _chip(document: dict[str, Any], context: int, language: str) -> str:
    paged = "" if document["inline"] else f" · {word('by_pages', language)}"
    size = f"{document['tokens']:,} {word('tokens', language)} {word('of_context', language)} {context:,}"
    return f"{word('document', language)}: **{plain_tags(document['name'])}** · {size}{paged}"


def _thoughts(reasoning: str, language: str, done: bool) -> Shown:
    status = "done" if done else "pending"
    return {"role": "assistant", "content": plain_tags(reasoning),
            "metadata": {"title": word("thinking", language), "status": status}}  # fmt: skip


def _fenced(text: str, kind: str) -> str:
    fence = "`" * (3 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{fence}{kind}\n{text}\n{fence}"
