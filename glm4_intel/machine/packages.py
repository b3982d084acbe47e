"""The Python packages that this toolkit needs, as its own metadata states them, and how to get what is missing."""

import platform
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(?P<options>\[[^]]*\])?\s*(?P<versions>[^;]*?)\s*(?:;(?P<marker>.*))?")
_DEVELOPMENT = "dev"


@dataclass(frozen=True)
class Requirement:
    """A package: its name, how pip is asked for it, and the extra that it belongs to, "" for those of every command."""

    name: str
    specifier: str
    extra: str

    @property
    def missing(self) -> bool:
        return not installed(self.name)

    def brings(self, module: str) -> bool:
        """Whether the package holds a module of that name, as far as names tell."""
        return self.name.replace("-", "_").lower().startswith(module.lower())


def pip_command(module: str, extra: str = "") -> str:
    """The command that brings a module's package, and what else is missing beside it and in an extra."""
    known = list(requirements())
    sought = next((each for each in known if each.brings(module)), None)
    if sought is None:
        return f"pip install {module}"
    lacking = [each for each in known if each.missing and each.extra in ("", extra, sought.extra)]
    return "pip install " + " ".join(f'"{each.specifier}"' for each in lacking or [sought])


def requirements() -> Iterator[Requirement]:
    """What the toolkit's metadata asks for on this Python; nothing where it is not installed."""
    try:
        stated = requires("glm4-intel") or []
    except PackageNotFoundError:
        return
    for line in stated:
        match = _REQUIREMENT.fullmatch(line)
        marker = match["marker"] or "" if match else ""
        extra = re.search(r"extra == ['\"]([\w-]+)", marker)
        older = "python_version <" in marker and sys.version_info >= (3, 11)
        if match and not older and (extra is None or extra[1] != _DEVELOPMENT):
            specifier = f"{match['name']}{match['options'] or ''}{match['versions']}"
            yield Requirement(match["name"], specifier, extra[1] if extra else "")


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Those of Python and of the packages that are here."""
    return {"python": platform.python_version()} | {name: version(name) for name in packages if installed(name)}


def installed(package: str) -> bool:
    """Whether pip has installed a package here."""
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
