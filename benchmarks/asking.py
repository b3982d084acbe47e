"""Clients of a server whose answers are known: each API's addresses, whole and in a stream, and who leaves."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

SHAPE = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
         "required": ["name", "age"], "additionalProperties": False}  # fmt: skip
GUIDED = {"response_format": {"type": "json_schema", "json_schema": {"name": "person", "schema": SHAPE}}}
QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    ("Count from 1 to 20.", {}),
    ("Count from 1 to 40.", {}),
    ("你好，请介绍一下你自己。", {}),
    *[(f"What is {number} + {number + 3}?", {}) for number in range(11, 27)],
    *[(f"Read the text.\n\n{'Mira lives in Oslo. ' * count}\n\nWhere does Mira live?", {}) for count in (1, 6, 11)],
    ("Who is Mira?", GUIDED),
]
"""What the nano model answers always alike, greedily, with the fields that a question has in OpenAI's API alone."""


class Lost(Exception):
    """An answer that didn't come, or not to its end."""


class Failed(Lost):
    """The server said that it couldn't answer: a status of 500 or more, or an event in a stream."""


class Refused(Exception):
    """The server was busy."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds
        """After which to come back."""


@dataclass(frozen=True)
class Api:
    """How one API is asked, and where its answers are."""

    path: str
    fixed: Mapping[str, Any]
    whole: Callable[[Any], str]
    piece: Callable[[Any], str]
    end: str
    """What only the last line of a stream has."""
    guides: bool = False


APIS: Sequence[Api] = (
    Api("/v1/chat/completions", {"temperature": 0}, lambda told: told["choices"][0]["message"]["content"],
        lambda told: told["choices"][0]["delta"].get("content", ""), "data: [DONE]", guides=True),
    Api("/v1/messages", {"temperature": 0, "max_tokens": 400}, lambda told: told["content"][0]["text"],
        lambda told: told.get("delta", {}).get("text", ""), '"message_stop"'),
    Api("/api/chat", {"options": {"temperature": 0}}, lambda told: told["message"]["content"],
        lambda told: told["message"]["content"], '"done": true'),
)  # fmt: skip


async def answer(
    web: httpx.AsyncClient, api: Api, question: int, stream: bool, first: Callable[[], None] = lambda: None
) -> str:
    """The text of an answer; `first` is called when the first of it comes. Raises Refused, Lost, Failed."""
    text, more = QUESTIONS[question]
    body = {"model": "nano", "messages": [{"role": "user", "content": text}], "stream": stream, **api.fixed, **more}
    try:
        if stream:
            return await _streamed(web, api, body, first)
        told = await web.post(api.path, json=body)
        first()
    except httpx.TransportError as error:
        raise Lost(repr(error)) from error
    _require(told.status_code, told.headers, told.text)
    return api.whole(told.json())


async def _streamed(web: httpx.AsyncClient, api: Api, body: Mapping[str, Any], first: Callable[[], None]) -> str:
    pieces, last = list[str](), ""
    async with web.stream("POST", api.path, json=body) as answer:
        _require(answer.status_code, answer.headers, "" if answer.is_success else str(await answer.aread()))
        async for line in answer.aiter_lines():
            if not pieces:
                first()
            last = line or last
            data = line.removeprefix("data: ")
            if data.startswith("{"):
                pieces.append(_piece(api, json.loads(data)))
    if api.end not in last:
        raise Lost(f"the stream ended with {last!r}")
    return "".join(pieces)


def _piece(api: Api, told: Mapping[str, Any]) -> str:
    if "error" in told:
        raise Failed(f"the stream told of {told['error']}")
    return api.piece(told)


def _require(status: int, headers: Mapping[str, str], text: str) -> None:
    if status == 429:
        raise Refused(float(headers["retry-after"]))
    if status != 200:
        raise (Failed if status >= 500 else Lost)(f"{status} {text}")


def ways(question: int) -> list[Api]:
    """The APIs that a question can be asked through."""
    return [api for api in APIS if api.guides or not QUESTIONS[question][1]]
