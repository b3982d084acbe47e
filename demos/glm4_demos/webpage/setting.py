"""What a page is started with."""

from collections.abc import Mapping
from dataclasses import dataclass

from glm4_intel.agent import Tool

from .uploads import Uploads
from .words import Language


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What holds for every visitor."""

    uploads: Uploads
    tools: Mapping[str, Tool]
    """Those that may be switched on."""
    language: Language = "en"
    at_once: int = 32
    """Replies written at the same time; more are refused."""
    each: int | None = None
    """Those of one visitor."""
    may_load: bool = True
    """Whether a visitor may load another model, for everybody."""
