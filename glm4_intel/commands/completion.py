"""`glm4-intel completion bash`: a script that completes commands, options and the names of models."""

import argparse
from collections.abc import Iterator

_NAMES = "$(glm4-intel list --names 2>/dev/null)"
_MODELS = {
    "bash": f"""_glm4_models() {{ compgen -d -- "$1"; compgen -W "{_NAMES}" -- "$1"; }}""",
    "zsh": f"""_glm4_models() {{ _alternative 'models:model:({_NAMES})' 'folders:folder:_files -/' }}""",
}
"""How each shell completes a model: a name, or a folder."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=tuple(_MODELS), help="whose script to print")


def run(args: argparse.Namespace) -> int:
    import shtab

    from ..cli import COMMANDS, parser_with

    kinds = dict.fromkeys(("FILE", "TEXT"), shtab.FILE) | dict.fromkeys(("OUT", "SOURCE"), shtab.DIRECTORY)
    kinds |= dict.fromkeys(("MODEL", "NAME"), dict.fromkeys(_MODELS, "_glm4_models"))
    parser = parser_with(COMMANDS)
    for action in _arguments(parser):
        if isinstance(action.metavar, str) and action.metavar in kinds:
            action.complete = kinds[action.metavar]  # type: ignore[attr-defined]  # where shtab looks for it
    print(shtab.complete(parser, args.shell, preamble=_MODELS))
    return 0


def _arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Those of every command that name a file, a folder or a model."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _arguments(command)
        elif action.option_strings[:1] not in (["--recipe"], ["--backend"], ["--prompt"], ["--system"]):
            yield action
