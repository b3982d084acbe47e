"""Chat templates: found in a directory, compiled in jinja2's sandbox, and rendered."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from ..errors import Glm4Error
from ..model_directory import read_json

_PROBE = {"type": "function", "function": {"name": "probe-of-tools"}}


class ChatTemplate:
    """A checkpoint's own template. Raises Glm4Error if it is broken."""

    def __init__(self, text: str) -> None:
        from jinja2 import TemplateError

        self.text = text
        try:
            self._compiled = _environment().from_string(text)
        except TemplateError as error:
            raise Glm4Error(
                f"The chat template is broken: {error}", "Fetch the checkpoint's template again."
            ) from error

    def render(self, turns: Sequence[Any], tools: Any, add_generation_prompt: bool) -> str:
        """The prompt as text. Raises Glm4Error where the template refuses the turns."""
        from jinja2 import TemplateError

        try:
            text: str = self._compiled.render(messages=turns, tools=tools, add_generation_prompt=add_generation_prompt)
        except (TemplateError, TypeError, KeyError) as error:
            raise Glm4Error(f"The chat template refuses these messages: {error}") from error
        return text

    @cached_property
    def takes_tools(self) -> bool:
        """Whether it reads `tools` (GLM-4-0414) rather than a system turn's tools (GLM-4-9B-Chat)."""
        return "probe-of-tools" in self.render([{"role": "user", "content": "x"}], [_PROBE], False)


def read_template_file(file: Path) -> str:
    """A chat template from a file of its own. Raises Glm4Error if it can't be read or is broken."""
    text = _read_text(file)
    ChatTemplate(text)
    return text


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise Glm4Error(f"{file} can't be read: {error}", "It must be a Jinja chat template in UTF-8.") from error


def read_template(directory: Path) -> str | None:
    """The chat template of a checkpoint or model directory, None if it has none, as a base model's has."""
    file, config = directory / "chat_template.jinja", directory / "tokenizer_config.json"
    if file.is_file():
        return _read_text(file)
    template = read_json(config).get("chat_template") if config.is_file() else None
    if isinstance(template, list):  # several, by name
        template = next((each["template"] for each in template if each.get("name") == "default"), None)
    return template if isinstance(template, str) else None


def _environment() -> Any:
    """jinja2's sandbox with the settings and filters that chat templates are written for."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    return environment


def _to_json(value: Any, indent: int | None = None, ensure_ascii: bool = False, **options: Any) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=ensure_ascii, **options)


def _raise_exception(message: str) -> NoReturn:
    from jinja2.exceptions import TemplateError

    raise TemplateError(message)
