"""Bodies of requests: read up to a size, checked field by field. A field that is unknown is refused by its name."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request

from .errors import BadRequest, TooLarge

Body = TypeVar("Body", bound="Fields")


class Fields(BaseModel):
    """The fields of a request. What is of another type, or no field, is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())

    def refuse(self, reasons: Mapping[str, str], empty: Iterable[Any] = (None,)) -> None:
        """Raises BadRequest for the first of these fields that asks for anything, with the reason why it can't be."""
        for name, reason in reasons.items():
            if getattr(self, name) not in (*empty, None):
                raise BadRequest(f"{name} can't be done: {reason}", field=name)


async def read_json(request: Request, most: int) -> Any:
    """The body as JSON. Raises TooLarge over `most` bytes, and BadRequest for what is no JSON."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise TooLarge(f"The request is larger than the {most >> 20} MB that are taken")
    try:
        return whole_json(bytes(body))
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The request's body is not JSON: {error}") from error


def whole_json(text: bytes) -> Any:
    """JSON whose texts can be told again: halves of surrogate pairs, which no UTF-8 can have, become U+FFFD.

    Raises ValueError or RecursionError for what is no JSON.
    """
    value = json.loads(text, parse_constant=_refuse_constant)
    if b"\\ud" not in text.lower():
        return value
    halves = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
    return json.loads(halves.decode("utf-16", "replace"))


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def parse(kind: type[Body], data: Any) -> Body:
    """The fields of a body. Raises BadRequest naming the first that is wrong."""
    if not isinstance(data, Mapping):
        raise BadRequest("The request's body must be a JSON object")
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise _first_fault(error) from error


def _first_fault(error: ValidationError) -> BadRequest:
    fault = error.errors(include_url=False, include_input=False)[0]
    field = str(fault["loc"][0]) if fault["loc"] else None
    if fault["type"] == "extra_forbidden":
        path = ".".join(map(str, fault["loc"]))
        return BadRequest(f"{path} is no field that is known here", "Leave it out.", field)
    if fault["type"] == "missing":
        return BadRequest(f"{field} is missing", field=field)
    return BadRequest(f"{field}: {fault['msg']}", field=field)
