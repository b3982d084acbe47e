"""`glm4-intel`: the composition root. A table of commands; only the chosen one's module is imported."""

import argparse
import io
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module

from . import __version__
from .errors import Glm4Error

COMMANDS: dict[str, tuple[str, str]] = {  # name: (module, help)
    "export": ("glm4_export.commands.export", "checkpoint to OpenVINO model directory, compressed and checked"),
    "quantize": (
        "glm4_export.commands.quantize",
        "checkpoint to weights packed for this processor; quantize/README.md",
    ),
    "chat": ("glm4_demos.chat", "talk to a model in the terminal, or get one reply with --prompt"),
    "web": ("glm4_demos.web", "a chat page on this machine; without MODEL, with the nano model"),
    "serve": ("glm4_intel.commands.serve", "an API server for OpenAI's, Anthropic's and Ollama's clients"),
    "batch": ("glm4_intel.commands.batch", "answer a file of requests in OpenAI's batch format; resumable"),
    "demo": ("glm4_demos.demo", "export the embedded nano model and ask it three questions; offline"),
    "bench": ("glm4_intel.commands.bench", "speed, memory, and the distance from what memory can give"),
    "verify": ("glm4_intel.commands.verify", "is a model directory whole, and does this engine compute the same"),
    "doctor": (
        "glm4_intel.commands.doctor",
        "devices and drivers: what there is, what is missing, what to use",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit status is 0, 1 for an error, 2 for usage, 130 for Ctrl-C."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    _write_what_can_be_written()
    try:
        return _run(arguments)
    except Glm4Error as error:
        return _failed(str(error), error.hint)
    except MemoryError:
        return _failed("There is not enough memory", "Close other programs, or use a smaller model or recipe.")
    except OSError as error:
        return _failed(
            f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), "Check the path and the disk."
        )
    except ModuleNotFoundError as error:
        extra = _extra_of((error.name or "").partition(".")[0])
        if extra is None:
            raise
        return _failed(f"This command needs the package {error.name}", f'Run: pip install "glm4-intel[{extra}]"')
    except RuntimeError as error:
        if "can't start new thread" not in str(error):
            raise
        return _failed("The system lets this process start no more threads", "Raise the limit: ulimit -u")
    except KeyboardInterrupt as interrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(*(interrupt.args or [130]))  # an engine in the middle of a long prompt would hold up an ordinary exit


def _write_what_can_be_written() -> None:
    """A console or a file that is not UTF-8 gets a mark for each letter that it has not, and no traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _run(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="glm4-intel", description="GLM-4-9B-Chat on Intel CPUs, GPUs and NPUs.")
    parser.add_argument("--version", action="version", version=f"glm4-intel {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((word for word in arguments if not word.startswith("-")), "")
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name == chosen:
            import_module(module).add_arguments(command)
    args = parser.parse_args(arguments)
    return int(import_module(COMMANDS[args.command][0]).run(args))


def _extra_of(module: str) -> str | None:
    """Which of this package's extras brings a module, as its own metadata says; None for one that none brings."""
    from importlib.metadata import requires

    for requirement in requires("glm4-intel") or ():
        match = re.match(r"([\w.-]+).*extra == \"([\w-]+)\"", requirement)
        if match and match[1].replace("-", "_").startswith(module) and match[2] != "dev":
            return match[2]
    return None


def _failed(message: str, hint: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
