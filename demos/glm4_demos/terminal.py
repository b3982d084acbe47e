"""The conversation in a terminal: commands, line editing, Markdown while it is written; plain text in a pipe."""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from glm4_intel import Glm4Error, Runtime, agent
from glm4_intel.agent.documents import Document
from glm4_intel.commands.model_arguments import load_shown
from glm4_intel.commands.output import printable
from glm4_intel.loading import LoadOptions
from glm4_intel.machine.folders import cache_folder
from glm4_intel.serving.client import ServerRuntime

from .dialogue import Dialogue, readable, speed
from .keeping import Keeper
from .tools import TOOLS
from .writing import Writer, writer

Command = Callable[["Terminal", str], None]


class Terminal:
    """One conversation, and the commands that are about it."""

    def __init__(
        self,
        *,
        runtime: Runtime | ServerRuntime,
        model: Path | None,
        options: LoadOptions,
        system: str = "",
        tools: Iterable[str] = (),
        sampling: Mapping[str, Any] | None = None,
        resume: bool = False,
    ) -> None:
        self._runtime, self._model, self._options, self._sampling = runtime, model, options, dict(sampling or {})
        self._dialogue = Dialogue(system=system)
        self._tools: list[str] = []
        self._document: Document | None = None
        self._writer: Writer = writer()
        self._keeper = Keeper(_say)
        if resume:
            self._open(self._keeper.earlier())
        for name in tools:
            self._switch(name)

    def run(self) -> int:
        """Read and answer until /exit, the end of the input, or Ctrl-C twice. Returns the exit status."""
        _say("/help lists the commands; Ctrl-C stops a reply, twice leaves.")
        read, interrupted = _line_reader(), False
        while True:
            try:
                text = read().strip()
                if text == "/exit":
                    return 0
                interrupted = False  # what is stopped from here on is a reply of its own
                self._obey(text)
            except KeyboardInterrupt:
                if interrupted:
                    return 130
                interrupted = True
                _say("(Ctrl-C again leaves)")
            except EOFError:
                return 0
            except Glm4Error as error:  # a prompt too long for the context, say: the conversation goes on
                _say(f"error: {error}\nhint: {error.hint}")

    def _obey(self, text: str) -> None:
        if not text.startswith("/"):
            if text:
                self._ask(text)
            return
        name, _, rest = text.partition(" ")
        if name not in COMMANDS:
            raise Glm4Error(f"There is no command {name}", f"There are {', '.join(COMMANDS)}, /exit.")
        COMMANDS[name][1](self, rest.strip())

    def _ask(self, text: str) -> None:
        self._dialogue = self._keeper.newest(self._dialogue)
        self._dialogue.ask(text, self._document, self._runtime)
        self._document = None
        self._keeper.save(self._dialogue)
        self._reply()

    def _reply(self) -> None:
        """Answer the last question. Raises KeyboardInterrupt, after what was written is kept, when it is stopped."""
        asked = len(self._dialogue.turns)
        tools = [TOOLS[name] for name in self._tools]
        events = self._dialogue.reply(self._runtime, tools, **self._sampling)
        try:
            for event in events:
                self._show(event)
                self._keeper.keep_up(self._dialogue)
        except KeyboardInterrupt:
            events.close()
            self._writer.finish()
            _say("[stopped]")
            raise
        except Glm4Error:
            self._dialogue.cut(asked - 1)
            raise
        finally:
            self._keeper.save(self._dialogue)
        _say(f"[{speed(self._dialogue.turns[-1].figures or {})}]")

    def _show(self, event: agent.Event) -> None:
        if isinstance(event, agent.Wrote):
            self._writer.thought(event.chunk.reasoning)
            self._writer.write(event.chunk.text)
            if event.chunk.finish_reason:
                self._writer.finish()
        elif isinstance(event, agent.Called):
            _say(f"→ {event.call.name} {readable(event.call.arguments)}")
        elif isinstance(event, agent.Observed):
            _say(f"← {event.content} ({event.seconds:.1f} s)")

    def _switch(self, name: str) -> None:
        if name not in TOOLS:
            raise Glm4Error(f"There is no tool {name!r}", f"There are {', '.join(TOOLS)}.")
        self._tools.remove(name) if name in self._tools else self._tools.append(name)

    # the commands

    def clear(self, rest: str) -> None:
        self._dialogue = Dialogue(system=self._dialogue.system)
        self._document = None
        _say("A new conversation.")

    def system(self, rest: str) -> None:
        if rest:
            self._dialogue.system = "" if rest == "-" else rest
        _say(self._dialogue.system or "There is no system prompt. /system TEXT sets one, /system - takes it away.")

    def tools(self, rest: str) -> None:
        for name in rest.split():
            self._switch(name)
        for name, tool in TOOLS.items():
            _say(f"{'on ' if name in self._tools else 'off'} {name}: {tool.description}")

    def load(self, rest: str) -> None:
        if not rest:
            raise Glm4Error("/load needs a file", "For example: /load story.txt")
        if _path(rest).suffix.lower() == ".json":
            self._open(_saved(_path(rest)))
            self._keeper.save(self._dialogue)
            return
        self._document = Document.open(_path(rest))
        tokens = len(self._runtime.tokenizer.encode_text(self._document.text))
        context = f"{self._runtime.context_length:,}"
        _say(f"{self._document.name}: {tokens:,} tokens of the context's {context}, for the next question.")

    def resume(self, rest: str) -> None:
        if rest:
            self._open(self._keeper.earlier(int(rest) if rest.isdecimal() else 0))
            return
        for line in self._keeper.listed() or ["There is no earlier conversation."]:
            _say(line)

    def _open(self, dialogue: Dialogue) -> None:
        """Go on with a conversation; its last turns are shown."""
        self._dialogue = dialogue
        for turn in dialogue.turns[-2:]:
            _say(f"{'>' if turn.role == 'user' else '<'} {turn.content}")
        _say(f"This conversation goes on: {dialogue.title or '…'} ({len(dialogue.turns)} messages).")

    def save(self, rest: str) -> None:
        path = _path(rest or "conversation.md")
        text = self._dialogue.as_json() if path.suffix == ".json" else self._dialogue.as_markdown()
        try:
            with path.open("x", encoding="utf-8", errors="replace") as file:
                file.write(text)
        except FileExistsError as error:
            raise Glm4Error(f"{path} exists, and is left as it is", "Give another name.") from error
        except OSError as error:
            raise Glm4Error(f"{path} can't be written: {error.strerror}", "Give another path.") from error
        _say(f"Saved to {path}.")

    def retry(self, rest: str) -> None:
        last = self._dialogue.last_question()
        if last is None:
            raise Glm4Error("There is no question to answer again", "Ask one first.")
        self._keeper.require_newest(self._dialogue)
        self._dialogue.cut(last + 1)
        self._reply()

    def stats(self, rest: str) -> None:
        figures = [turn.figures for turn in self._dialogue.turns if turn.figures]
        for each in figures:
            _say(speed(each))
        used = figures[-1]["prompt_tokens"] + figures[-1]["completion_tokens"] if figures else 0
        _say(f"context: {used:,} of {self._runtime.context_length:,} tokens")

    def device(self, rest: str) -> None:
        if rest:
            self._move_to(rest)
        else:
            _say(f"{self._runtime.device} {self._runtime.device_reason}".strip())

    def _move_to(self, device: str) -> None:
        """Load the model on another device; where it can't be, the conversation goes on where it was."""
        if self._model is None or isinstance(self._runtime, ServerRuntime):
            raise Glm4Error("The server chooses its device", "Start it with --device.")
        options = replace(self._options, device=device)
        try:
            self._runtime = load_shown(self._model, options, in_place_of=self._runtime)
        except (Glm4Error, KeyboardInterrupt):
            if self._runtime.closed:
                self._runtime = load_shown(self._model, self._options)
            raise
        self._options = options

    def help(self, rest: str) -> None:
        for name, (text, _) in COMMANDS.items():
            _say(f"{name:9} {text}")
        _say("/exit     leave; so does Ctrl-D")
        _say("Alt-Enter starts a new line; Ctrl-C stops a reply, twice leaves.")


COMMANDS: dict[str, tuple[str, Command]] = {  # name: (help, what it does with the rest of the line)
    "/help": ("this list", Terminal.help),
    "/clear": ("a new conversation", Terminal.clear),
    "/system": ("show the system prompt, or set it: /system TEXT", Terminal.system),
    "/tools": ("list the tools, or switch some: /tools NAME …", Terminal.tools),
    "/load": ("add a document to the next question (txt, md, pdf), or open a saved conversation (json)", Terminal.load),
    "/resume": ("list the earlier conversations, or go on with one: /resume NUMBER", Terminal.resume),
    "/save": ("save the conversation: /save FILE (.md or .json)", Terminal.save),
    "/retry": ("answer the last question again", Terminal.retry),
    "/stats": ("figures of the replies so far", Terminal.stats),
    "/device": ("show the device, or load the model on another: /device NAME", Terminal.device),
}


def _say(text: str) -> None:
    print(printable(text), file=sys.stderr, flush=True)


def _path(text: str) -> Path:
    """The path that somebody typed. Raises Glm4Error for the home of a user whom there is not."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise Glm4Error(f"{text} is no path: {error}", "Give the whole path.") from error


def _saved(path: Path) -> Dialogue:
    """A conversation that was saved to a file. Raises Glm4Error where it can't be read, or is none."""
    try:
        return Dialogue.brought(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Glm4Error(f"{path} can't be read: {error.strerror}", "Check the path.") from error
    except UnicodeDecodeError as error:
        raise Glm4Error(f"{path} is no UTF-8 text", "Give a file saved here.") from error


def _history() -> Any:
    """What was typed before, in a file of this user's alone; in memory where none can be written."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    file = cache_folder() / "history"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.chmod(0o600)
    except OSError as error:
        _say(f"What you type is not remembered: {file} can't be written ({error.strerror}).")
        return InMemoryHistory()
    return FileHistory(str(file))


def _line_reader() -> Callable[[], str]:
    """Line editing with a history and completion in a terminal; plain lines from a pipe."""
    if not sys.stdin.isatty():
        return lambda: input()
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()
    keys.add("escape", "enter")(lambda event: event.current_buffer.insert_text("\n"))
    session: PromptSession[str] = PromptSession(
        history=_history(),
        completer=WordCompleter([*COMMANDS, "/exit"], sentence=True),
        complete_while_typing=False,
        key_bindings=keys,
        prompt_continuation="… ",
    )
    return lambda: session.prompt("> ")
