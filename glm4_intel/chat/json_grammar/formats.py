"""Formats of strings that replies are held to, as patterns that every strict checker agrees with.

JSON schema names further ones; a format that is not here is refused where the standard defines it, and is an
annotation where it does not (validation, 7.2.3).
"""

from collections.abc import Callable

from ...errors import Glm4Error

_DATE = (
    r"((19|20)[0-9]{2}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    r"|02-(0[1-9]|1[0-9]|2[0-8]))|(20(0[048]|[2468][048]|[13579][26]))-02-29)"
)
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_HOST = r"([a-z0-9]+(-[a-z0-9]+)*\.)+[a-z][a-z]+"
_BYTE = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_GROUP = r"[0-9a-fA-F]{1,4}"
_PATH = r"(/[A-Za-z0-9._~-]*)*(\?[A-Za-z0-9._~=&-]*)?(#[A-Za-z0-9._~-]*)?"
_URI = rf"https?://{_HOST}(:[1-9][0-9]{{0,3}})?{_PATH}"
FORMATS = {
    "date": _DATE,
    "date-time": rf"{_DATE}T{_TIME}",
    "duration": r"P([1-9][0-9]{0,3}W|([1-9][0-9]{0,3}D)(T[1-9][0-9]{0,3}H)?|T[1-9][0-9]{0,3}[HMS]|[1-9][0-9]{0,3}[YM])",
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "email": rf"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*@{_HOST}",
    "idn-email": rf"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*@{_HOST}",
    "hostname": r"[a-z][a-z0-9]{0,20}(-[a-z0-9]{1,10})?(\.[a-z][a-z0-9]{0,20}){0,3}",
    "idn-hostname": r"[a-z][a-z0-9]{0,20}(-[a-z0-9]{1,10})?(\.[a-z][a-z0-9]{0,20}){0,3}",
    "ipv4": rf"({_BYTE}\.){{3}}{_BYTE}",
    "ipv6": rf"({_GROUP}:){{7}}{_GROUP}|({_GROUP}:){{1,4}}(:{_GROUP}){{1,3}}|::({_GROUP}(:{_GROUP}){{0,5}})?",
    "uri": _URI,
    "uri-reference": rf"{_URI}|/[A-Za-z0-9._~-]+{_PATH}",
    "iri": _URI,
    "iri-reference": rf"{_URI}|/[A-Za-z0-9._~-]+{_PATH}",
    "json-pointer": r"(/[A-Za-z0-9._-]*)*",
    "relative-json-pointer": r"[0-9](/[A-Za-z0-9._-]*)*",
}
FORMATS |= {"host-name": FORMATS["hostname"], "ip-address": FORMATS["ipv4"], "color": "#[0-9a-f]{6}"}  # draft 3's names
_SHORT_HOST = r"([a-z0-9]{1,12}(-[a-z0-9]{1,8})?\.){1,2}[a-z]{2,8}"  # up to 52 characters
_CHECK = "Leave it out, and check the reply for it."
_REFUSED = {
    "regex": _CHECK,
    "uri-template": _CHECK,
    "time": 'Say which time is meant: "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$", with Z$ for one in UTC.',
}
"""And what to do instead. Of a time, checkers disagree: one of RFC 3339 has an offset, one of draft 3 must have none;
Python's `jsonschema.FormatChecker()` is draft 3's where its `Draft202012Validator.FORMAT_CHECKER` is the RFC's."""


def format_pattern(name: object, where: str, most: int | None = None) -> str | None:
    """The pattern of a format, without anchors; None for an annotation. Raises Glm4Error for one that can't be held.

    Of a format that may have `most` characters it is one without an endless part, if there is one: counting would need
    a state for each character of each endless part.
    """
    if not isinstance(name, str):
        return None
    if name in _REFUSED:
        raise Glm4Error(f"{where}.format {name!r} can't be guided", _REFUSED[name])
    return _SHORT[name](most) if most is not None and most >= 64 and name in _SHORT else FORMATS.get(name)


def _short_uri(most: int) -> str:
    steps, query = min(4, (most - 60) // 31), r"(\?[A-Za-z0-9._~=&-]{0,60})?" if most >= 245 else ""
    return rf"https?://{_SHORT_HOST}(/[A-Za-z0-9._~-]{{0,30}}){{0,{steps}}}{query}"


def _short_email(most: int) -> str:
    return rf"[A-Za-z0-9_+-]{{1,{min(48, most - 53)}}}@{_SHORT_HOST}"


_SHORT: dict[str, Callable[[int], str]] = {
    "uri": _short_uri, "iri": _short_uri, "email": _short_email, "idn-email": _short_email,
}  # fmt: skip
