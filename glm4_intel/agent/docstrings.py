"""What a function's docstring says of it and of its arguments, in the forms that people write them in."""

import re

_GOOGLE = re.compile(r"^[ \t]*\**(\w+)[ \t]*(?:\(.*?\))?:[ \t]+(\S.*)$")  # name (type): text
_SPHINX = re.compile(r"^[ \t]*[:@]param\s+(?:[^:]*\s)?\**(\w+)\s*:[ \t]*(\S.*)$")  # :param type name: text
_FIELD = re.compile(r"\s*[:@]\w+")
_NUMPY_NAME = re.compile(r"^\**(\w+)[ \t]*(?::[ \t]*\S.*)?$")  # name : type, and the text on further, indented lines
_NUMPY_HEAD = re.compile(r"^(?:Other )?Parameters\n-{3,}\n", re.MULTILINE)
_SECTION = re.compile(r"^\S.*\n-{3,}$", re.MULTILINE)


def read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """What the function does, up to the first blank line, and what its arguments are, by name.

    The arguments in Google's form, Sphinx's (reStructuredText), Epytext's or NumPy's.
    """
    about = re.split(r"\n\s*\n|(?:^|\n)(?=\s*[:@]param )", text.strip(), maxsplit=1)[0]
    return " ".join(about.split()), _by_line(text) | _numpy(text)


def _by_line(text: str) -> dict[str, str]:
    """Arguments that each begin a line; what is indented deeper below goes on with it."""
    told: dict[str, list[str]] = {}
    name, depth = "", 0
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        deeper = name and line.strip() and indent > depth and not _FIELD.match(line)
        if deeper:
            told[name].append(line.strip())
        elif match := _SPHINX.match(line) or _GOOGLE.match(line):
            name, depth = match[1], indent
            told[name] = [match[2].strip()]
        elif line.strip():
            name = ""
    return {name: " ".join(lines) for name, lines in told.items()}


def _numpy(text: str) -> dict[str, str]:
    head = _NUMPY_HEAD.search(text)
    if not head:
        return {}
    body = _SECTION.split(text[head.end() :])[0]
    told: dict[str, list[str]] = {}
    name = ""
    for line in body.splitlines():
        if match := _NUMPY_NAME.match(line):
            name = match[1]
            told[name] = []
        elif name and line.startswith((" ", "\t")):
            told[name].append(line.strip())
    return {name: " ".join(lines).strip() for name, lines in told.items() if any(lines)}
