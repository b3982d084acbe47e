"""Messages to token ids and back, as the model directory's own chat template and tokenizer say."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Glm4Error
from .conversation import Conversation
from .messages import ENDS, RawMessage, Turn
from .template import DROPPED, ChatTemplate, read_template
from .thinking import Thinking

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_TEXT_PREFIX = ("[gMASK]", "<sop>")  # before every text of GLM-4, as its tokenizer has it
_THINK_TOKENS = 8  # that `<think>` and a line break take at most
_SAMPLE = "Hello,  世界!\n\t1 + 1 ≈ 🙂"
_ITS_OWN = "Copy it from the checkpoint again: tokenizer.json belongs to the model."
_PRIVATE_USE = range(0xE000, 0xF900)
"""Code points that stand in for special tokens typed in content while the template is rendered."""
_REMEMBERED, _REMEMBERED_LENGTH = 4096, 8192
"""Texts between two special tokens whose ids are remembered, and the characters of the longest: the next turn of a
conversation has the same ones."""


class ChatTokenizer:
    """GLM-4's prompt format, safe against typed special tokens.

    The ids equal those of the reference template whenever the content holds no special token. A special token typed
    in any role, tool or metadata is encoded as the plain text it is, so that no message can forge a role.

    Without a template it is a base model's, which completes a text and has no turns.
    """

    def __init__(self, bpe: "Tokenizer", template: str | None) -> None:
        """`bpe` is Hugging Face's tokenizer. Raises Glm4Error for a template that is broken."""
        self.bpe = bpe
        bpe.no_padding()  # a tokenizer's file may ask for either, and training tools leave it there
        bpe.no_truncation()
        bpe.encode_special_tokens = True  # from here on, every text given to the tokenizer is content
        added = bpe.get_added_tokens_decoder().items()
        self._special = {token.content: id for id, token in added if token.special}
        self._added = frozenset(id for id, _ in added)
        self._bytes: dict[int, bytes] = {}
        self._remembered = lru_cache(_REMEMBERED)(self._encoded)
        self._template = None if template is None else ChatTemplate(template)

    @classmethod
    def from_directory(cls, path: str | Path) -> "ChatTokenizer":
        """The tokenizer of a checkpoint or a model directory. Raises Glm4Error if it has no usable one."""
        from tokenizers import Tokenizer

        directory = Path(path)
        file = directory / "tokenizer.json"
        if not file.is_file():
            raise Glm4Error(
                f"{directory} has no tokenizer.json", "Is it a GLM-4 model directory? See glm4-intel export."
            )
        try:
            bpe = Tokenizer.from_str(file.read_text(encoding="utf-8"))
        except Exception as error:  # tokenizers raises bare Exception for a file that it can't parse
            raise Glm4Error(f"{file} can't be read: {error}", "Copy it from the checkpoint again.") from error
        try:
            made = cls(bpe, read_template(directory))
        except Glm4Error as error:
            raise Glm4Error(f"{directory}: {error}", error.hint) from error
        made._require_every_text(file)
        if made.chats and not made.stop_ids:
            raise Glm4Error(f"{file} has no tokens that end a reply", "Copy it from the checkpoint again.")
        return made

    def _require_every_text(self, file: Path) -> None:
        """Raises Glm4Error for a tokenizer that is none of GLM-4's: not BPE, or not of bytes."""
        kind = type(self.bpe.model).__name__
        if kind != "BPE":
            raise Glm4Error(f"{file} has a tokenizer of the kind {kind}, and GLM-4's is BPE", _ITS_OWN)
        if self.decode(self.encode_text(_SAMPLE)) != _SAMPLE:
            raise Glm4Error(f"{file} does not read texts byte by byte, as GLM-4's tokenizer does", _ITS_OWN)

    def encode(
        self,
        messages: Sequence[RawMessage],
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
    ) -> list[int]:
        """The token ids of a conversation. Raises Glm4Error for a malformed message or tool.

        For a base model, those of the text of one user message, to be completed.
        """
        return Conversation.parse(messages, tools).render(self, add_generation_prompt)

    def encode_turns(
        self, turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]], add_generation_prompt: bool
    ) -> list[int]:
        """The token ids of turns in GLM's form, and of the tools that are declared beside them."""
        if self._template is None:
            return self._encode_text_to_complete(turns, tools)
        _require_shown(self._template, turns, tools)
        if tools and not self._template.takes_tools:
            turns = [{"role": "system", "tools": list(tools)}, *turns]
        (turns, tools), stand_ins = self._neutralise([list(turns), list(tools)])
        text = self._template.render(turns, tools or None, add_generation_prompt)
        if not text:
            raise Glm4Error("The chat template makes nothing of these messages", "Give it a message, or export again.")
        ids: list[int] = []
        for segment in filter(None, self._special_pattern.split(text)):
            if segment in self._special:
                ids.append(self._special[segment])
            else:
                ids += self._segment(segment.translate(stand_ins))
        return ids

    @property
    def dropped(self) -> list[str]:
        """What the chat template leaves out of a prompt, in words; such messages are refused."""
        names = self._template.dropped if self._template else ()
        return [DROPPED[name] for name in names if name != "call" or "tools" not in names]

    def probe(self) -> None:
        """Raises Glm4Error for a chat template that can't even render a user's message."""
        if self._template:
            self._template.probe()

    @property
    def chats(self) -> bool:
        """Whether the model answers messages; a base model completes text."""
        return self._template is not None

    def _encode_text_to_complete(self, turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]]) -> list[int]:
        if len(turns) != 1 or turns[0]["role"] != "user" or tools:
            raise Glm4Error(
                "This is a base model: it completes one text, and knows no turns, system messages or tools",
                "Give it one user message, or use a chat model.",
            )
        return self.encode_beginning(turns[0]["content"])

    def encode_beginning(self, text: str) -> list[int]:
        """The token ids of a text that is to be gone on with, as GLM-4's texts begin."""
        prefix = [self._special[token] for token in _TEXT_PREFIX if token in self._special]
        return [*prefix, *self.encode_text(text)]

    def encode_text(self, text: str) -> list[int]:
        """The token ids of plain text, special tokens in it included as the text they are."""
        return list(self._encoded(text))

    def _segment(self, text: str) -> Sequence[int]:
        return self._remembered(text) if len(text) <= _REMEMBERED_LENGTH else self._encoded(text)

    def _encoded(self, text: str) -> tuple[int, ...]:
        return tuple(self.bpe.encode(_without_lone_surrogates(text), add_special_tokens=False).ids)

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        """The text of token ids; incomplete UTF-8 becomes U+FFFD."""
        shown = (id for id in ids if not skip_special or id not in self.special_ids)
        return b"".join(map(self.token_bytes, shown)).decode("utf-8", "replace")

    def token_bytes(self, id: int) -> bytes:
        """The bytes that a token stands for; none for an id that the tokenizer does not know."""
        if (known := self._bytes.get(id)) is None:
            known = self._bytes[id] = self._read_bytes(id)
        return known

    def _read_bytes(self, id: int) -> bytes:
        token: str | None = self.bpe.id_to_token(id)
        if token is None:
            return b""
        table = byte_of_character()
        if id in self._added or not table.keys() >= set(token):  # such a token is spelled as its text
            return token.encode()
        return bytes(table[character] for character in token)

    def thinking(self, ids: Sequence[int]) -> Thinking:
        """Whether the reply to a prompt may begin with a `<think>` part, as a reasoning model's template has it."""
        if self._template is None or "<think>" not in self._template.text:
            return "off"
        end = self.decode(ids[-_THINK_TOKENS:], skip_special=False).rstrip("\n")
        return "inside" if end.endswith("<think>") else "auto"

    @cached_property
    def special_ids(self) -> frozenset[int]:
        return frozenset(self._special.values())

    @property
    def size(self) -> int:
        """The number of ids that the tokenizer knows."""
        return int(self.bpe.get_vocab_size())

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

    def _neutralise(self, value: Any) -> tuple[Any, dict[int, str]]:
        """A copy of `value` whose strings hold a stand-in for each special token, and the way back."""
        text = json.dumps(value, ensure_ascii=False)
        free = (code for code in _PRIVATE_USE if chr(code) not in text)
        there = {token: chr(next(free)) for token in self._special if token in text}
        if not there:
            return value, {}
        return _replace(value, there), {ord(code): token for token, code in there.items()}

    @cached_property
    def _special_pattern(self) -> re.Pattern[str]:
        return re.compile("(" + "|".join(map(re.escape, self._special)) + ")")


def _without_lone_surrogates(text: str) -> str:
    """UTF-16's halves, which JSON's escapes and clients that cut a text bring: pairs are joined, others are U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _require_shown(template: ChatTemplate, turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]]) -> None:
    """Raises Glm4Error for what the template would leave out of the prompt without a word."""
    given = {"tools"} if tools or any(turn.get("tools") for turn in turns) else set()
    given |= {turn["role"] for turn in turns if turn.get("content")}
    given |= {"call" for turn in turns if turn["role"] == "assistant" and turn.get("metadata")}
    given |= {"history" for turn in turns[:-1] if turn["role"] == "assistant" and turn.get("content")}
    for name in template.dropped:
        if name in given:
            raise Glm4Error(
                f"This model's chat template leaves out {DROPPED[name]}",
                "Leave them out too, or export the model with another: --chat-template FILE.",
            )


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
