"""The user's own defaults: a TOML file with a table for each command, whose keys are its options."""

import argparse
import difflib
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ..errors import Glm4Error

_SWITCHES = (argparse._StoreTrueAction, argparse._StoreFalseAction, argparse.BooleanOptionalAction)


def apply(file: Path, command: str, commands: Collection[str], parser: argparse.ArgumentParser) -> None:
    """Make what the file says of a command the defaults of its parser; nothing where there is no such file.

    Raises Glm4Error naming the file and the key for what is no command, no option, or no value of that option.
    """
    if not file.is_file():
        return
    tables = _read(file)
    for name, table in tables.items():
        _require_known(file, name, commands, "command")
        if not isinstance(table, dict):
            raise Glm4Error(f"{file}: {name} is no table", f"Write its options below a line [{name}].")
    options = _options(parser)
    for key, value in tables.get(command, {}).items():
        _require_known(file, key, options, f"option of {command}", f"[{command}] ")
        action = options[key]
        parser.set_defaults(**{action.dest: _value(f"{file}: [{command}] {key}", action, value)})


def _read(file: Path) -> Mapping[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        tables: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Glm4Error(f"{file} can't be read: {error}", "Mend it, or move it away.") from error
    return tables


def _options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """The options that can have a default, by their names without dashes before them."""
    actions = [action for action in parser._actions if action.option_strings and action.default != argparse.SUPPRESS]
    return {name[2:]: action for action in actions for name in action.option_strings
            if name.startswith("--") and not _negates(name, action)}  # fmt: skip


def _negates(name: str, action: argparse.Action) -> bool:
    return isinstance(action, argparse.BooleanOptionalAction) and name.startswith("--no-")


def _require_known(file: Path, key: str, known: Collection[str], what: str, place: str = "") -> None:
    if key in known:
        return
    near = difflib.get_close_matches(key, known, 1)
    hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(known)}."
    raise Glm4Error(f"{file}: {place}{key} is no {what}", hint)


def _value(where: str, action: argparse.Action, value: Any) -> Any:
    """A value as the command line would have it. Raises Glm4Error for one that the option does not take."""
    if isinstance(action, _SWITCHES):
        if not isinstance(value, bool):
            raise Glm4Error(f"{where} is {value!r}", "It is true or false.")
        return not value if isinstance(action, argparse._StoreFalseAction) else value
    if isinstance(action, argparse._AppendAction):
        return [_text(where, action, each) for each in (value if isinstance(value, list) else [value])]
    return _text(where, action, value)


def _text(where: str, action: argparse.Action, value: Any) -> Any:
    if isinstance(value, bool | list | dict):
        raise Glm4Error(f"{where} is {value!r}", "It is one text or number.")
    try:
        read = action.type(str(value)) if callable(action.type) else str(value)
    except ValueError:
        raise Glm4Error(f"{where} is {value!r}", f"See {action.option_strings[0]} in the command's --help.") from None
    if action.choices and read not in action.choices:
        raise Glm4Error(f"{where} is {value!r}", f"It is one of {', '.join(map(str, action.choices))}.")
    return read
