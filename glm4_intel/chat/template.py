"""Chat templates: found in a directory, compiled in a sandbox, and rendered."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import Glm4Error
from ..model_directory import read_json
from .template_work import Exhausted

_LONGEST = 1 << 20
_MARK = "probe-of-what-is-shown"
_PROBE = {"type": "function", "function": {"name": _MARK, "description": "", "parameters": {}}}
_USER = {"role": "user", "content": "x"}
_CALL = {"role": "assistant", "metadata": "f", "content": "{}"}
_PROBES: dict[str, Sequence[Any]] = {
    "system": [{"role": "system", "content": _MARK}, _USER],
    "tools": [{"role": "system", "content": "", "tools": [_PROBE]}, _USER],
    "observation": [_USER, _CALL, {"role": "observation", "content": _MARK}],
    "call": [_USER, {**_CALL, "metadata": _MARK}, {"role": "observation", "content": "x"}],
    "history": [_USER, {"role": "assistant", "metadata": "", "content": _MARK}, _USER],
}
"""By what a template may leave out: messages that hold a mark there."""
DROPPED = {
    "system": "system messages", "tools": "tools", "observation": "results of tools", "call": "names of called tools",
    "history": "earlier replies",
}  # fmt: skip
"""What each of them is called."""


class ChatTemplate:
    """A checkpoint's own template. Raises Glm4Error if it is broken."""

    def __init__(self, text: str) -> None:
        from .template_sandbox import compile_template

        self.text = text
        try:
            self._compiled = compile_template(text)
        except Exception as error:  # jinja2's own, and whatever Python's compiler says of what jinja2 made
            raise Glm4Error(
                f"The chat template is broken: {_reason(error)}",
                "Fetch the checkpoint's template again, or give another: --chat-template FILE.",
            ) from error

    def render(self, turns: Sequence[Any], tools: Any, add_generation_prompt: bool) -> str:
        """The prompt as text. Raises Glm4Error where the template refuses the turns, and where it does not end."""
        from .template_sandbox import render

        values = {"messages": turns, "tools": tools, "add_generation_prompt": add_generation_prompt}
        try:
            return render(self._compiled, values)
        except Glm4Error:
            raise
        except Exception as error:  # a template is anybody's code: whatever it raises is its refusal
            raise Glm4Error(f"The chat template refuses these messages: {_reason(error)}") from error

    def probe(self) -> None:
        """Raises Glm4Error for a template that can't even render a user's message."""
        self.render([_USER], None, True)

    @cached_property
    def takes_tools(self) -> bool:
        """Whether it reads `tools` (GLM-4-0414) rather than a system turn's tools (GLM-4-9B-Chat)."""
        return self._shows([_USER], [_PROBE])

    @cached_property
    def dropped(self) -> tuple[str, ...]:
        """What it leaves out of a prompt or refuses, of `DROPPED`.

        Training tools write templates of their own that know a system message, a user and an assistant at most.
        """
        left_out = (name for name, turns in _PROBES.items() if not self._shows(turns, None))
        return tuple(name for name in left_out if not (name == "tools" and self.takes_tools))

    def _shows(self, turns: Sequence[Any], tools: Any) -> bool:
        try:
            return _MARK in self.render(turns, tools, False)
        except Exhausted:
            raise
        except Glm4Error:
            return False


def _reason(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def read_template_file(file: Path) -> str:
    """A chat template from a file of its own. Raises Glm4Error if it can't be read, is broken or does not end."""
    text = _read_text(file)
    ChatTemplate(text).probe()
    return text


def _read_text(file: Path) -> str:
    hint = "It must be a Jinja chat template in UTF-8."
    try:
        with file.open(encoding="utf-8") as opened:
            text = opened.read(_LONGEST + 1)
    except (OSError, ValueError) as error:
        raise Glm4Error(f"{file} can't be read: {error}", hint) from error
    if len(text) > _LONGEST:
        raise Glm4Error(f"{file} has more than {_LONGEST:,} characters", hint)
    return text


def read_template(directory: Path) -> str | None:
    """The chat template of a checkpoint or model directory, None if it has none, as a base model's has."""
    file, config = directory / "chat_template.jinja", directory / "tokenizer_config.json"
    if file.is_file():
        return _read_text(file)
    template = read_json(config).get("chat_template") if config.is_file() else None
    if isinstance(template, list):  # several, by name
        named = [each for each in template if isinstance(each, Mapping) and each.get("name") == "default"]
        template = named[0].get("template") if named else None
    return template if isinstance(template, str) else None
