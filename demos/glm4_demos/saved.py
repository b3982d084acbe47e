"""The form of a saved conversation, checked when one is read: it may come from anywhere."""

import json
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from typing_extensions import NotRequired, TypedDict

from glm4_intel import Glm4Error

_Number = Annotated[float, Field(allow_inf_nan=False)]


class _Function(TypedDict):
    name: str
    arguments: str | dict[str, Any]


class _Call(TypedDict):
    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    function: _Function


class _Document(TypedDict):
    name: str
    text: str
    tokens: int
    inline: bool


class _Figures(TypedDict):
    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    device: str
    prompt_tokens: int
    completion_tokens: int
    truncated_messages: int
    time_to_first_token: _Number
    tokens_per_second: _Number
    finish_reason: str | None


def _if_whole(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Figures that are not whole are left out: what was said is worth more."""
    try:
        return check(value)
    except ValidationError:
        return None


class _Turn(TypedDict):
    role: Literal["user", "assistant", "tool"]
    content: str
    document: NotRequired[_Document | None]
    tool_calls: NotRequired[list[_Call]]
    reasoning: NotRequired[str]
    figures: NotRequired[Annotated[_Figures | None, WrapValidator(_if_whole)]]
    seconds: NotRequired[_Number]
    tool_call_id: NotRequired[str]


class _Dialogue(TypedDict):
    id: NotRequired[Annotated[str, Field(pattern="^[0-9a-f]{32}$")]]
    title: NotRequired[str]
    system: NotRequired[str]
    created: NotRequired[str]
    version: NotRequired[Annotated[int, Field(ge=0)]]
    turns: list[_Turn]


def read_saved(text: str) -> dict[str, Any]:
    """The fields of a saved conversation. Raises Glm4Error, naming the place, where it is not one."""
    try:
        checked: dict[str, Any] = _checker().validate_python(_whole(json.loads(text)))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise Glm4Error(f"This is no saved conversation: {place}: {first['msg']}", "Give a file saved here.") from error
    except (ValueError, RecursionError) as error:
        raise Glm4Error("This is no saved conversation: it is no JSON", "Give a file saved here.") from error
    return checked


@lru_cache(maxsize=1)
def _checker() -> TypeAdapter[Any]:
    return TypeAdapter(_Dialogue)


def _whole(value: Any) -> Any:
    """The value with a mark in the place of half a surrogate pair, which is no text and can't be sent or written."""
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if isinstance(value, dict):
        return {_whole(key): _whole(each) for key, each in value.items()}
    return value


def whole_text(text: str) -> str:
    """The text with a mark in the place of half a surrogate pair."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
