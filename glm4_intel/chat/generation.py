"""What goes into a reply and what comes out of it: parameters, chunks, replies and their figures."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from reprlib import repr as shown
from typing import Any, Literal

from ..errors import Glm4Error
from .events import ToolCall, ToolCallDelta

FinishReason = Literal["stop", "length", "tool_calls", "cancelled"]

_RANGES: dict[str, tuple[float, float]] = {
    "max_new_tokens": (1, 2**31),
    "temperature": (0, 100),
    "top_p": (0, 1),
    "top_k": (0, 2**31),
    "min_p": (0, 0.999),
    "repetition_penalty": (0.01, 100),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "seed": (0, 2**63),
}
_EARLIER = {"ignore_stop": "ignore_eos"}
"""Names that programs written before the engine's own names were taken may use."""
_WHOLE = ("max_new_tokens", "top_k", "seed")
_FLAGS = ("do_sample", "ignore_eos", "echo", "include_stop_str_in_output")
_NUMBERS = (
    "max_length", "min_new_tokens", "logprobs", "num_beams", "num_beam_groups", "num_return_sequences",
    "no_repeat_ngram_size", "diversity_penalty", "length_penalty", "presence_penalty", "frequency_penalty",
    "assistant_confidence_threshold", "num_assistant_tokens", "max_ngram_size",
)  # fmt: skip
"""What the engine reads from generation_config.json beside ours: of another type, it refuses to load the model."""


@dataclass(frozen=True)
class GenerationParams:
    """How a reply is drawn; the defaults come from the model directory's generation_config.json."""

    max_new_tokens: int = 1024
    """At most this many tokens, the stop token included."""
    temperature: float = 0.8
    """0 takes the most likely token each time (greedy)."""
    top_p: float = 1.0
    """Draw from the smallest set of tokens whose probabilities add up to this; 1 leaves all, 0 is greedy."""
    top_k: int = 0
    """Draw from this many of the most likely tokens; 0 leaves all."""
    min_p: float = 0.0
    """Leave out tokens less likely than this share of the likeliest."""
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    """The same seed, prompt and parameters give the same reply; None draws a fresh one."""
    stop: tuple[str, ...] = ()
    """Texts that end the reply; they are not part of it."""
    stop_token_ids: tuple[int, ...] = ()
    """Token ids that end the reply, besides the model's own."""
    ignore_eos: bool = False
    """Go on past the model's own stop tokens, to measure a given number of tokens."""

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is None and name == "seed":
                continue
            if isinstance(value, bool) or not isinstance(value, int if name in _WHOLE else (int, float)):
                raise Glm4Error(f"{name} must be a {'whole ' if name in _WHOLE else ''}number, not {shown(value)}")
            if not low <= value <= high:
                raise Glm4Error(f"{name} is {shown(value)}", f"It must be from {low} to {high}.")
        if not isinstance(self.ignore_eos, bool):
            raise Glm4Error(f"ignore_eos must be true or false, not {shown(self.ignore_eos)}")
        object.__setattr__(self, "stop", _stop_texts(self.stop))
        object.__setattr__(self, "stop_token_ids", _stop_ids(self.stop_token_ids))

    @classmethod
    def from_generation_config(cls, config: Mapping[str, Any]) -> "GenerationParams":
        """The defaults that a checkpoint's generation_config.json states; keys that are not ours are left aside.

        Raises Glm4Error naming the file for a value that is none.
        """
        known = {"temperature", "top_p", "top_k", "min_p", "repetition_penalty", "max_new_tokens"}
        stated = {key: value for key, value in config.items() if key in known and value is not None}
        if not config.get("do_sample", False):
            stated["temperature"] = 0.0
        try:
            _require_kinds(config)
            return cls(**stated)
        except Glm4Error as error:
            raise Glm4Error(f"generation_config.json: {error}", error.hint) from error

    def override(self, **changes: Any) -> "GenerationParams":
        """These parameters with some changed; None leaves one as it is. Raises Glm4Error for an unknown name."""
        names = [field.name for field in fields(self)]
        changes = {_EARLIER.get(name, name): value for name, value in changes.items()}
        for name in changes:
            if name not in names:
                near = difflib.get_close_matches(name, names, 1)
                hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(names)}."
                raise Glm4Error(f"There is no generation parameter {name!r}", hint)
        return replace(self, **{name: value for name, value in changes.items() if value is not None})

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is taken each time: so it is with a `top_p` of 0 too, as in OpenAI's API."""
        return self.temperature == 0 or self.top_p == 0


def _require_kinds(config: Mapping[str, Any]) -> None:
    """Raises Glm4Error for a value that the engine, which reads the file too, would not take."""
    stated = {name: value for name, value in config.items() if value is not None}
    for name in _FLAGS:
        if not isinstance(stated.get(name, False), bool):
            raise Glm4Error(f"{name} must be true or false, not {shown(stated[name])}")
    for name in _NUMBERS:
        value = stated.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Glm4Error(f"{name} must be a number, not {shown(value)}")
    ends = stated.get("eos_token_id", [])
    _stop_ids(ends if isinstance(ends, list) else [ends], "eos_token_id")
    if "stop_strings" in stated:
        _stop_texts(stated["stop_strings"] or ())


def _stop_texts(stop: Any) -> tuple[str, ...]:
    texts = _listed((stop,) if isinstance(stop, str) else stop)
    if texts is None or not all(isinstance(text, str) and text for text in texts):
        raise Glm4Error(f"stop must be a text or a list of texts, none of them empty, not {shown(stop)}")
    return texts


def _stop_ids(ids: Any, name: str = "stop_token_ids") -> tuple[int, ...]:
    listed = _listed(ids)
    if listed is None or not all(isinstance(id, int) and not isinstance(id, bool) and id >= 0 for id in listed):
        raise Glm4Error(f"{name} must be a list of token ids, not {shown(ids)}")
    return listed


def _listed(value: Any) -> tuple[Any, ...] | None:
    return None if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable) else tuple(value)


@dataclass(frozen=True)
class Usage:
    """Token counts, as OpenAI's API names them."""

    prompt_tokens: int
    completion_tokens: int
    truncated_messages: int = 0
    """Messages of the history that the context had no room for."""
    cached_tokens: int | None = None
    """Of the prompt's tokens, those that the engine had computed for an earlier one; None where it does not tell."""


@dataclass(frozen=True)
class Timing:
    """Seconds to the first token (TTFT), and a token thereafter (TPOT, 0 for a reply of one token)."""

    time_to_first_token: float
    time_per_token: float

    @property
    def tokens_per_second(self) -> float:
        return 1 / self.time_per_token if self.time_per_token else 0.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a reply: text or a call that has become certain; the last one has the reason and the figures."""

    text: str = ""
    token_ids: tuple[int, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_deltas: tuple[ToolCallDelta, ...] = ()
    """A call's name and then its arguments, as OpenAI's API streams them; `tool_calls` has it when it is whole."""
    reasoning: str = ""
    """What a reasoning model thinks before its answer."""
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    timing: Timing | None = None
    logprobs: tuple[float, ...] = ()
    """Of each of the token ids, where they were asked for."""


@dataclass(frozen=True)
class Reply:
    """A whole reply: the join of its chunks."""

    text: str
    token_ids: tuple[int, ...]
    tool_calls: tuple[ToolCall, ...]
    finish_reason: FinishReason
    usage: Usage
    timing: Timing
    reasoning: str = ""

    @classmethod
    def join(cls, chunks: Iterable[Chunk]) -> "Reply":
        collected = list(chunks)
        last = collected[-1]
        assert last.finish_reason and last.usage and last.timing
        return cls(
            "".join(chunk.text for chunk in collected),
            tuple(id for chunk in collected for id in chunk.token_ids),
            tuple(call for chunk in collected for call in chunk.tool_calls),
            last.finish_reason,
            last.usage,
            last.timing,
            "".join(chunk.reasoning for chunk in collected),
        )

    def message(self) -> dict[str, Any]:
        """The assistant's message to append to the conversation, in OpenAI's form."""
        calls = [call.message() for call in self.tool_calls]
        return {"role": "assistant", "content": self.text} | ({"tool_calls": calls} if calls else {})

    def to_dict(self) -> dict[str, Any]:
        """The reply as JSON-like data, without its token ids."""
        data = asdict(self)
        del data["token_ids"]
        data["timing"]["tokens_per_second"] = self.timing.tokens_per_second
        return data
