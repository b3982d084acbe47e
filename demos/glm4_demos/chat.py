"""`glm4-intel chat MODEL [QUESTION]`: a conversation in the terminal, or one reply."""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glm4_intel.commands.model_arguments import add_model_arguments, load_options, load_shown
from glm4_intel.commands.models import MODEL_HELP, model_path
from glm4_intel.commands.output import print_json, printable
from glm4_intel.commands.server_arguments import add_server_arguments, asked_server
from glm4_intel.errors import Glm4Error

if TYPE_CHECKING:
    from glm4_intel import Chunk, Runtime
    from glm4_intel.loading import LoadOptions
    from glm4_intel.serving.client import ServerRuntime
    from glm4_intel.serving.exchange import Server

_SAMPLING = ("max_new_tokens", "temperature", "top_p", "top_k", "seed")


@dataclass(frozen=True, kw_only=True)
class ChatArguments:
    """What the command line asks for."""

    model: Path | None
    """None where a server has it."""
    load: "LoadOptions"
    system: str | None
    prompt: str | None
    json: bool
    tools: list[str]
    sampling: dict[str, Any]
    """Overrides of the model's generation defaults."""
    resume: bool = False
    """Go on with the conversation that was saved last."""
    server: "Server | None" = None
    served: str | None = None
    """The server's model of that name; without one, its first."""

    def __post_init__(self) -> None:
        if self.json and self.prompt is None:
            raise Glm4Error("--json needs --prompt", 'For example: glm4-intel chat MODEL "你好" --json')
        if self.prompt is not None and self.tools:
            raise Glm4Error("--tools is for a conversation", "Leave out the question.")
        if self.prompt is not None and self.resume:
            raise Glm4Error("--resume is for a conversation", "Leave out the question.")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", nargs="?", help=f"{MODEL_HELP}; none with --server")
    parser.add_argument("prompt", metavar="QUESTION", nargs="?",
                        help="print one reply and leave; - reads it from standard input")  # fmt: skip
    parser.add_argument("--prompt", dest="prompt_option", metavar="TEXT", help="the same as QUESTION")
    add_server_arguments(parser)
    parser.add_argument("--system", metavar="TEXT", help="a system message")
    parser.add_argument("--json", action="store_true", help="with a question: print the reply as one JSON object")
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
    question = _question(options)
    runtime = _runtime(options)
    if question is not None:
        return _answer(runtime, question, options)
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


def _runtime(options: ChatArguments) -> "Runtime | ServerRuntime":
    if options.model is not None:
        return load_shown(options.model, options.load)
    from glm4_intel.serving.client import ServerRuntime

    assert options.server
    return ServerRuntime(options.server, options.served)


def _server(args: argparse.Namespace) -> "Server | None":
    """Where the server is that is asked for. Raises Glm4Error for options that belong to one where there is none."""
    server = asked_server(args)
    if server is None and (args.model is None or args.served or args.api_key_file):
        raise Glm4Error("chat needs a model, or a server", "For example: glm4-intel chat nano")
    if server and args.model is not None and (args.prompt is not None or args.prompt_option is not None):
        raise Glm4Error("A server has its models itself", "Leave MODEL out; --served NAME chooses one.")
    return server


def _arguments(args: argparse.Namespace) -> ChatArguments:
    from glm4_intel import GenerationParams

    server = _server(args)
    model, prompt = (args.model, args.prompt) if server is None else (None, args.model)
    if prompt is not None and args.prompt_option is not None:
        raise Glm4Error("--prompt and QUESTION are the same", "Give one of them.")
    sampling = {name: getattr(args, name) for name in _SAMPLING if getattr(args, name) is not None}
    GenerationParams().override(**sampling)  # what can't be is told before the model is loaded
    load = load_options(args)
    return ChatArguments(
        model=None if model is None else model_path(model, load.device),
        load=load,
        system=args.system,
        prompt=prompt if args.prompt_option is None else args.prompt_option,
        json=args.json,
        tools=[name for name in args.tools.split(",") if name],
        resume=args.resume,
        sampling=sampling,
        server=server,
        served=args.served,
    )


def _question(options: ChatArguments) -> str | None:
    """What is asked, None for a conversation. Raises Glm4Error where it is empty."""
    text = sys.stdin.read() if options.prompt == "-" else options.prompt
    if text is not None and not text.strip():
        raise Glm4Error("The prompt is empty", 'Give one: glm4-intel chat MODEL "Hello"')
    return text


def _answer(runtime: "Runtime | ServerRuntime", text: str, options: ChatArguments) -> int:
    """One reply on stdout, as text while it comes or as JSON when it is whole."""
    from glm4_intel import Reply

    system = [{"role": "system", "content": options.system}] if options.system else []
    chunks = runtime.stream([*system, {"role": "user", "content": text}], **options.sampling)
    if options.json:
        print_json(Reply.join(chunks).to_dict())
    else:
        _print(chunks)
    return 0


def _print(chunks: "Iterator[Chunk]") -> None:

    shown = printable if sys.stdout.isatty() else str
    try:
        for chunk in chunks:
            print(shown(chunk.text), end="", flush=True)
    finally:
        chunks.close()  # type: ignore[attr-defined]  # Ctrl-C: stop the engine now
        print(flush=True)
