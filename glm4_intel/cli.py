"""`glm4-intel`: the composition root. A table of commands; only the chosen one's module is imported."""

import argparse
import io
import os
import sys
from collections.abc import Collection, Sequence
from importlib import import_module

from . import __version__
from .errors import Glm4Error

COMMANDS: dict[str, tuple[str, str]] = {  # name: (module, help)
    "export": ("glm4_export.commands.export", "checkpoint to OpenVINO model directory, compressed and checked"),
    "quantize": (
        "glm4_export.commands.quantize",
        "checkpoint to weights packed for this processor; quantize/README.md",
    ),
    "chat": ("glm4_demos.chat", "talk to a model in the terminal, or ask it one question"),
    "web": ("glm4_demos.web", "a chat page on this machine; without MODEL, with the nano model"),
    "serve": ("glm4_intel.commands.serve", "an API server for OpenAI's, Anthropic's and Ollama's clients"),
    "batch": ("glm4_intel.commands.batch", "answer a file of requests in OpenAI's batch format; resumable"),
    "demo": ("glm4_demos.demo", "export the embedded nano model and ask it three questions; offline"),
    "bench": ("glm4_intel.commands.bench", "speed, memory, and the distance from what memory can give"),
    "list": ("glm4_intel.commands.list_models", "the models that are known by name"),
    "rm": ("glm4_intel.commands.remove", "remove a model: its own files, and nothing else"),
    "completion": ("glm4_intel.commands.completion", "a script that completes this command line in bash or zsh"),
    "verify": ("glm4_intel.commands.verify", "is a model directory whole, and does this engine compute the same"),
    "doctor": (
        "glm4_intel.commands.doctor",
        "devices and drivers: what there is, what is missing, what to use",
    ),
}
_EXTRAS = {"export": "export", "demo": "export", "web": "web"}
"""The extras of pyproject.toml that commands can't do without."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit status is 0, 1 for an error, 2 for usage, 130 for Ctrl-C, 141 for a closed pipe."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    _open_what_is_closed()
    _write_what_can_be_written()
    try:
        return _run(arguments)
    except Glm4Error as error:
        return _failed(str(error), error.hint)
    except MemoryError:
        return _failed("There is not enough memory", "Close other programs, or use a smaller model or recipe.")
    except BrokenPipeError:  # nobody reads on, as after `| head`: no fault of anybody's
        _drop_what_is_left()
        return 141
    except OSError as error:
        _drop_what_is_left()
        return _failed(
            f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), "Check the path and the disk."
        )
    except ModuleNotFoundError as error:
        return _failed(*_missing(error.name or "", arguments))
    except ImportError as error:  # of a package that is there, such as httpx without what a SOCKS proxy needs
        return _failed(
            f"A package can't be used: {str(error).partition(chr(10))[0]}",
            "Install what it lacks, or install it again.",
        )
    except RuntimeError as error:
        if "can't start new thread" not in str(error):
            raise
        return _failed("The system lets this process start no more threads", "Raise the limit: ulimit -u")
    except KeyboardInterrupt as interrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(*(interrupt.args or [130]))  # an engine in the middle of a long prompt would hold up an ordinary exit


def _open_what_is_closed() -> None:
    """Give a stream that whoever started this has closed a place of its own, before a model's file takes its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):  # in the order of their numbers
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  (for as long as this runs)


def _drop_what_is_left() -> None:
    """What standard output does not take goes nowhere, or Python would complain of it at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write_what_can_be_written() -> None:
    """A console or a file that is not UTF-8 gets a mark for each letter that it has not, and no traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _run(arguments: list[str]) -> int:
    chosen = next((word for word in arguments if word in COMMANDS), "")
    try:
        args = parser_with([chosen]).parse_args(arguments)
        return int(import_module(COMMANDS[args.command][0]).run(args))
    finally:
        sys.stdout.flush()  # while what goes wrong can be told


def parser_with(chosen: Collection[str]) -> argparse.ArgumentParser:
    """The parser of the command line, with the arguments of the chosen commands, whose modules alone are imported."""
    from .machine.folders import settings_file

    parser = argparse.ArgumentParser(prog="glm4-intel", description="GLM-4-9B-Chat on Intel CPUs, GPUs and NPUs.")
    parser.add_argument("--version", action="version", version=f"glm4-intel {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name in chosen:
            import_module(module).add_arguments(command)
            if (file := settings_file()).is_file():
                from .commands.settings import apply

                apply(file, name, COMMANDS, command)
    return parser


def _missing(name: str, arguments: Sequence[str]) -> tuple[str, str]:
    """What is said of a module that is not there, and the command that brings it and the rest for this command."""
    from .machine.packages import pip_command

    module, extra = name.partition(".")[0], next((_EXTRAS[word] for word in arguments if word in _EXTRAS), "")
    if module.startswith("glm4_"):
        return f"This installation lacks its part {module}", "Install glm4-intel again: pip install . in its folder"
    return f"This command needs the package {module}, which is not installed", f"Run: {pip_command(module, extra)}"


def _failed(message: str, hint: str) -> int:
    from .commands.output import in_a_line

    print(f"error: {in_a_line(message)}", file=sys.stderr)
    if hint:
        print(f"hint: {in_a_line(hint)}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
