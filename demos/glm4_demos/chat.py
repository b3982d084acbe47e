"""`glm4-intel chat MODEL`: a conversation in the terminal, or one reply with --prompt."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glm4_intel.commands.model_arguments import add_model_arguments, load_options, load_shown
from glm4_intel.errors import Glm4Error
from glm4_intel.folders import cache_folder

if TYPE_CHECKING:
    from glm4_intel import Reply, Runtime
    from glm4_intel.loading import LoadOptions

HELP = "/clear forgets the conversation, /exit leaves (so does Ctrl-D), Ctrl-C stops a reply."


@dataclass(frozen=True)
class ChatArguments:
    """What the command line asks for."""

    model: Path
    load: "LoadOptions"
    system: str | None
    prompt: str | None
    json: bool
    sampling: dict[str, Any]
    """Overrides of the model's generation defaults."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", type=Path, help="a model directory")
    parser.add_argument("--prompt", metavar="TEXT", help="print one reply to TEXT and leave; - reads standard input")
    parser.add_argument("--system", metavar="TEXT", help="a system message")
    parser.add_argument("--json", action="store_true", help="with --prompt: print the reply as one JSON object")
    parser.add_argument("--max-new-tokens", type=int, metavar="N", help="end a reply after N tokens")
    parser.add_argument("--temperature", type=float, help="0 takes the most likely token each time")
    parser.add_argument("--top-p", type=float)
    parser.add_argument("--top-k", type=int)
    parser.add_argument("--seed", type=int, help="the same seed gives the same reply")
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    names = ("max_new_tokens", "temperature", "top_p", "top_k", "seed")
    sampling = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    options = ChatArguments(args.model, load_options(args), args.system, args.prompt, args.json, sampling)
    if options.json and options.prompt is None:
        raise Glm4Error("--json needs --prompt", 'For example: glm4-intel chat MODEL --prompt "你好" --json')
    conversation = Conversation(load_shown(options.model, options.load), options.system, options.sampling)
    return _answer(conversation, options) if options.prompt is not None else _converse(conversation)


class Conversation:
    """The messages so far, and the runtime that continues them."""

    def __init__(self, runtime: "Runtime", system: str | None, sampling: dict[str, Any]) -> None:
        self._runtime, self._system, self._sampling = runtime, system, sampling
        self.clear()

    @property
    def device(self) -> str:
        return self._runtime.device

    def clear(self) -> None:
        self._messages: list[dict[str, Any]] = [{"role": "system", "content": self._system}] if self._system else []

    def reply(self, text: str, show: Callable[[str], None] = lambda text: None) -> "Reply":
        """Ask, showing the reply's text as it comes; an interrupted exchange leaves no trace in the conversation."""
        from glm4_intel import Reply

        asked = [*self._messages, {"role": "user", "content": text}]
        reply = Reply.join(_shown(self._runtime.stream(asked, **self._sampling), show))
        self._messages = [*asked, reply.message()]
        return reply


def speed(reply: "Reply", device: str) -> str:
    """One line of figures about a reply, and whether it was cut short."""
    timing = reply.timing
    cut = " · cut off at the limit of tokens" if reply.finish_reason == "length" else ""
    return (
        f"[{device} · {reply.usage.completion_tokens} tokens · first after {timing.time_to_first_token * 1000:.0f} ms"
        f" · {timing.tokens_per_second:.1f} tokens/s{cut}]"
    )


def _shown(chunks: Iterator[Any], show: Callable[[str], None]) -> Iterator[Any]:
    try:
        for chunk in chunks:
            show(chunk.text)
            yield chunk
    finally:
        chunks.close()  # type: ignore[attr-defined]  # Ctrl-C: stop the engine now


def print_text(text: str) -> None:
    print(text, end="", flush=True)


def _answer(conversation: Conversation, options: ChatArguments) -> int:
    """One reply on stdout, as text while it comes or as JSON when it is whole."""
    text = sys.stdin.read() if options.prompt == "-" else options.prompt
    if not text:
        raise Glm4Error("The prompt is empty", 'Give one: --prompt "Hello"')
    reply = conversation.reply(text, (lambda text: None) if options.json else print_text)
    if options.json:
        print(json.dumps(reply.to_dict(), ensure_ascii=False))
    else:
        print()
    return 0


def _converse(conversation: Conversation) -> int:
    print(HELP, file=sys.stderr)
    ask = _line_reader()
    while True:
        try:
            text = ask().strip()
            if text == "/exit":
                return 0
            _obey(conversation, text)
        except KeyboardInterrupt:  # at the prompt, Ctrl-C drops the line
            continue
        except EOFError:
            return 0


def _obey(conversation: Conversation, text: str) -> None:
    if text == "/clear":
        conversation.clear()
    elif text.startswith("/"):
        print(HELP, file=sys.stderr)
    elif text:
        _exchange(conversation, text)


def _exchange(conversation: Conversation, text: str) -> None:
    try:
        reply = conversation.reply(text, print_text)
        print(flush=True)
        print(speed(reply, conversation.device), file=sys.stderr)
    except KeyboardInterrupt:
        print(flush=True)
        print("[stopped]", file=sys.stderr)
    except Glm4Error as error:  # a prompt too long for the context, say: the conversation goes on
        print(f"error: {error}\nhint: {error.hint}", file=sys.stderr)


def _line_reader() -> Callable[[], str]:
    """Line editing with a history in a terminal; plain lines from a pipe."""
    if not sys.stdin.isatty():
        return lambda: input()
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory

    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    session: PromptSession[str] = PromptSession(history=FileHistory(str(folder / "history")))
    return lambda: session.prompt("> ")
