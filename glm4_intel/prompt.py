"""Messages to token ids and back, as the model directory's own chat template and tokenizer say."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .artifact import read_json
from .errors import Glm4Error
from .messages import ENDS, Message, to_glm
from .thinking import Thinking

if TYPE_CHECKING:
    from jinja2 import Template
    from tokenizers import Tokenizer

_TEXT_PREFIX = ("[gMASK]", "<sop>")  # before every text of GLM-4, as its tokenizer has it
_THINK_TOKENS = 8  # that `<think>` and a line break take at most
_PRIVATE_USE = range(0xE000, 0xF900)
"""Code points that stand in for special tokens typed in content while the template is rendered."""


class Prompt:
    """GLM-4's prompt format, safe against typed special tokens.

    The ids equal those of the reference template whenever the content holds no special token. A special token typed
    in any role, tool or metadata is encoded as the plain text it is, so that no message can forge a role.

    Without a template it is a base model's, which completes a text and has no turns.
    """

    def __init__(self, tokenizer: "Tokenizer", template: str | None) -> None:
        self.tokenizer = tokenizer
        tokenizer.encode_special_tokens = True  # from here on, every text given to the tokenizer is content
        self._special = {
            token.content: id for id, token in tokenizer.get_added_tokens_decoder().items() if token.special
        }
        self._bytes: dict[int, bytes] = {}
        self._template_text = template or ""
        self._template: Template | None = None if template is None else _environment().from_string(template)

    @classmethod
    def from_directory(cls, path: str | Path) -> "Prompt":
        """The prompt of a checkpoint or a model directory. Raises Glm4Error if it has no usable tokenizer."""
        from jinja2 import TemplateError
        from tokenizers import Tokenizer

        directory = Path(path)
        file = directory / "tokenizer.json"
        if not file.is_file():
            raise Glm4Error(
                f"{directory} has no tokenizer.json", "Is it a GLM-4 model directory? See glm4-intel export."
            )
        try:
            tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8"))
        except Exception as error:  # tokenizers raises bare Exception for a file that it can't parse
            raise Glm4Error(f"{file} can't be read: {error}", "Copy it from the checkpoint again.") from error
        try:
            return cls(tokenizer, read_template(directory))
        except TemplateError as error:
            raise Glm4Error(f"The chat template of {directory} is broken: {error}") from error

    def encode(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
    ) -> list[int]:
        """The token ids of a conversation. Raises Glm4Error for a malformed message or tool.

        For a base model, those of the text of one user message, to be completed.
        """
        if self._template is None:
            return self._encode_text_to_complete(messages, tools)
        conversation = to_glm(messages, None if self._takes_tools else tools)
        neutral, stand_ins = self._neutralise([conversation, tools])
        text = self._render(neutral[0], neutral[1], add_generation_prompt)
        ids: list[int] = []
        for segment in self._split(text):
            if segment in self._special:
                ids.append(self._special[segment])
            else:
                ids += self.encode_text(segment.translate(stand_ins))
        return ids

    @property
    def chats(self) -> bool:
        """Whether the model answers messages; a base model completes text."""
        return self._template is not None

    def _encode_text_to_complete(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None
    ) -> list[int]:
        conversation = to_glm(messages, tools)
        if len(conversation) != 1 or conversation[0]["role"] != "user" or tools:
            raise Glm4Error(
                "This is a base model: it completes one text, and knows no turns, system messages or tools",
                "Give it one user message, or use a chat model.",
            )
        prefix = [self._special[token] for token in _TEXT_PREFIX if token in self._special]
        return [*prefix, *self.encode_text(conversation[0]["content"])]

    def encode_text(self, text: str) -> list[int]:
        """The token ids of plain text, special tokens in it included as the text they are."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        """The text of token ids; incomplete UTF-8 becomes U+FFFD."""
        return b"".join(map(self.token_bytes, self._shown(ids, skip_special))).decode("utf-8", "replace")

    def token_bytes(self, id: int) -> bytes:
        """The bytes that a token stands for; none for an id that the tokenizer does not know."""
        if (known := self._bytes.get(id)) is None:
            known = self._bytes[id] = self._read_bytes(id)
        return known

    def _read_bytes(self, id: int) -> bytes:
        token: str | None = self.tokenizer.id_to_token(id)
        if token is None:
            return b""
        if id in self.special_ids:
            return token.encode()
        table = byte_of_character()
        return bytes(table[character] for character in token)

    def thinking(self, ids: Sequence[int]) -> Thinking:
        """Whether the reply to a prompt may begin with a `<think>` part, as a reasoning model's template has it."""
        if "<think>" not in self._template_text:
            return "off"
        end = self.decode(ids[-_THINK_TOKENS:], skip_special=False).rstrip("\n")
        return "inside" if end.endswith("<think>") else "auto"

    @cached_property
    def special_ids(self) -> frozenset[int]:
        return frozenset(self._special.values())

    @property
    def text_vocabulary(self) -> int:
        """The ids below this one are all text."""
        return min(self.special_ids)

    @cached_property
    def stop_ids(self) -> tuple[int, ...]:
        """The ids that end a reply: the end of the text, the user's turn, a tool's turn."""
        return tuple(self._special[token] for token in ENDS if token in self._special)

    def special_id(self, token: str) -> int | None:
        """The id of a special token such as `<|observation|>`, or None if this tokenizer has no such token."""
        return self._special.get(token)

    @cached_property
    def _takes_tools(self) -> bool:
        """Whether the template reads `tools` (GLM-4-0414) rather than a system message's tools (GLM-4-9B-Chat)."""
        probe = {"type": "function", "function": {"name": "probe-of-tools"}}
        return "probe-of-tools" in self._render([{"role": "user", "content": "x"}], [probe], False)

    def _shown(self, ids: Iterable[int], skip_special: bool) -> Iterable[int]:
        return (id for id in ids if id not in self.special_ids) if skip_special else ids

    def _neutralise(self, value: Any) -> tuple[Any, dict[int, str]]:
        """A copy of `value` whose strings hold a stand-in for each special token, and the way back."""
        text = json.dumps(value, ensure_ascii=False)
        free = (code for code in _PRIVATE_USE if chr(code) not in text)
        there = {token: chr(next(free)) for token in self._special if token in text}
        if not there:
            return value, {}
        return _replace(value, there), {ord(code): token for token, code in there.items()}

    def _render(self, messages: Any, tools: Any, add_generation_prompt: bool) -> str:
        from jinja2 import TemplateError

        assert self._template is not None
        try:
            return self._template.render(messages=messages, tools=tools, add_generation_prompt=add_generation_prompt)
        except (TemplateError, TypeError, KeyError) as error:
            raise Glm4Error(f"The chat template refuses these messages: {error}") from error

    def _split(self, text: str) -> list[str]:
        return [segment for segment in self._special_pattern.split(text) if segment]

    @cached_property
    def _special_pattern(self) -> re.Pattern[str]:
        return re.compile("(" + "|".join(map(re.escape, self._special)) + ")")


def read_template(directory: Path) -> str | None:
    """The chat template of a checkpoint or model directory, None if it has none, as a base model's has."""
    file, config = directory / "chat_template.jinja", directory / "tokenizer_config.json"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = read_json(config).get("chat_template") if config.is_file() else None
    if isinstance(template, list):  # several, by name
        template = next((each["template"] for each in template if each.get("name") == "default"), None)
    return template if isinstance(template, str) else None


def _environment() -> Any:
    """jinja2's sandbox with the settings and filters that chat templates are written for."""
    from jinja2.exceptions import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def raise_exception(message: str) -> NoReturn:
        raise TemplateError(message)

    def tojson(value: Any, indent: int | None = None, ensure_ascii: bool = False, **options: Any) -> str:
        return json.dumps(value, indent=indent, ensure_ascii=ensure_ascii, **options)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    return environment


def _replace(value: Any, there: Mapping[str, str]) -> Any:
    """A copy of JSON-like data with each key of `there` replaced in every string, keys of objects included."""
    if isinstance(value, str):
        for token, code in there.items():
            value = value.replace(token, code)
        return value
    if isinstance(value, Mapping):
        return {_replace(key, there): _replace(item, there) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_replace(item, there) for item in value]
    return value


@lru_cache(maxsize=1)
def byte_of_character() -> dict[str, int]:
    """Byte-level BPE's alphabet (GPT-2's): printable bytes stand for themselves, the others from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in printable]
    return table | {chr(0x100 + index): byte for index, byte in enumerate(others)}
