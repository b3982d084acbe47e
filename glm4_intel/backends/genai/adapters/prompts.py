"""The prompts of replies that have adapters: by their first tokens the graph tells whose they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ....errors import Glm4Error
from ...base import Request
from .marker import Place


@dataclass(frozen=True)
class AdapterPrompts:
    """The adapters of one load by name, without what they change."""

    places: Mapping[str, Place]
    first_token: int
    """The id of [gMASK]."""

    @property
    def virtual_tokens(self) -> int:
        """The most that an adapter puts before a prompt."""
        return max((place.tokens for place in self.places.values() if place.virtual), default=0)

    def of(self, request: Request) -> Sequence[int]:
        """The ids that the engine is given. Raises Glm4Error for an adapter that is not loaded, and for a prompt that
        begins with an id of the set's own, or without [gMASK] where that is to be replaced."""
        begins = set(request.ids[: max(1, self.virtual_tokens)])
        if any(place.id in begins for place in self.places.values()):
            raise Glm4Error("The prompt begins with a token that is kept for adapters", "Leave it out.")
        if request.adapter is None:
            return request.ids
        if request.adapter not in self.places:
            named = ", ".join(self.places) or "none"
            raise Glm4Error(f"There is no adapter {request.adapter!r}", f"Loaded are: {named}.")
        place = self.places[request.adapter]
        if place.virtual:
            return [place.id] * place.tokens + list(request.ids)
        if request.ids[0] != self.first_token:
            raise Glm4Error("A prompt for an adapter must begin with [gMASK]", "Give messages, or a text.")
        return [place.id, *request.ids[1:]]
