"""`glm4-intel chat MODEL`: a conversation in the terminal, or one reply with --prompt."""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glm4_intel.commands.model_arguments import add_model_arguments, load_options, load_shown
from glm4_intel.commands.output import print_json
from glm4_intel.errors import Glm4Error

if TYPE_CHECKING:
    from glm4_intel import Chunk, Runtime
    from glm4_intel.loading import LoadOptions

_SAMPLING = ("max_new_tokens", "temperature", "top_p", "top_k", "seed")


@dataclass(frozen=True, kw_only=True)
class ChatArguments:
    """What the command line asks for."""

    model: Path
    load: "LoadOptions"
    system: str | None
    prompt: str | None
    json: bool
    tools: list[str]
    sampling: dict[str, Any]
    """Overrides of the model's generation defaults."""
    resume: bool = False
    """Go on with the conversation that was saved last."""

    def __post_init__(self) -> None:
        if self.json and self.prompt is None:
            raise Glm4Error("--json needs --prompt", 'For example: glm4-intel chat MODEL --prompt "你好" --json')
        if self.prompt is not None and self.tools:
            raise Glm4Error("--tools is for a conversation", "Leave out --prompt.")
        if self.prompt is not None and self.resume:
            raise Glm4Error("--resume is for a conversation", "Leave out --prompt.")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", type=Path, help="a model directory")
    parser.add_argument("--prompt", metavar="TEXT", help="print one reply to TEXT and leave; - reads standard input")
    parser.add_argument("--system", metavar="TEXT", help="a system message")
    parser.add_argument("--json", action="store_true", help="with --prompt: print the reply as one JSON object")
    parser.add_argument("--tools", default="", metavar="NAME,…", help="tools to begin with; /tools lists them")
    parser.add_argument("--resume", action="store_true", help="go on with the conversation that was saved last")
    parser.add_argument("--max-new-tokens", type=int, metavar="N", help="end a reply after N tokens")
    parser.add_argument("--temperature", type=float, help="0 takes the most likely token each time")
    parser.add_argument("--top-p", type=float)
    parser.add_argument("--top-k", type=int)
    parser.add_argument("--seed", type=int, help="the same seed gives the same reply")
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    options = _arguments(args)
    runtime = load_shown(options.model, options.load)
    if options.prompt is not None:
        return _answer(runtime, options)
    from .terminal import Terminal

    return Terminal(
        runtime=runtime,
        model=options.model,
        options=options.load,
        system=options.system or "",
        tools=options.tools,
        sampling=options.sampling,
        resume=options.resume,
    ).run()


def _arguments(args: argparse.Namespace) -> ChatArguments:
    return ChatArguments(
        model=args.model,
        load=load_options(args),
        system=args.system,
        prompt=args.prompt,
        json=args.json,
        tools=[name for name in args.tools.split(",") if name],
        resume=args.resume,
        sampling={name: getattr(args, name) for name in _SAMPLING if getattr(args, name) is not None},
    )


def _answer(runtime: "Runtime", options: ChatArguments) -> int:
    """One reply on stdout, as text while it comes or as JSON when it is whole."""
    from glm4_intel import Reply

    text = sys.stdin.read() if options.prompt == "-" else options.prompt
    if not text:
        raise Glm4Error("The prompt is empty", 'Give one: --prompt "Hello"')
    system = [{"role": "system", "content": options.system}] if options.system else []
    chunks = runtime.stream([*system, {"role": "user", "content": text}], **options.sampling)
    if options.json:
        print_json(Reply.join(chunks).to_dict())
    else:
        _print(chunks)
    return 0


def _print(chunks: "Iterator[Chunk]") -> None:
    from .writing import printable

    shown = printable if sys.stdout.isatty() else str
    try:
        for chunk in chunks:
            print(shown(chunk.text), end="", flush=True)
    finally:
        chunks.close()  # type: ignore[attr-defined]  # Ctrl-C: stop the engine now
        print(flush=True)
