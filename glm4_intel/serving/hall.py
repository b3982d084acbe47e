"""A server's models by name, and its limits."""

from collections.abc import Mapping
from dataclasses import dataclass

from .errors import NotFound
from .metrics import Metrics
from .served import Served


@dataclass(frozen=True)
class Hall:
    """What every API is given."""

    models: Mapping[str, Served]
    metrics: Metrics
    most_bytes: int = 32 << 20
    """Of a request."""

    def model(self, name: str | None) -> Served:
        """The model of that name; without one, the first. Raises NotFound."""
        if not name:
            return next(iter(self.models.values()))
        found = self.models.get(name) or self.models.get(name.removesuffix(":latest"))
        if found is None:
            raise NotFound(f"There is no model {name!r}", f"There are {', '.join(self.models)}.", "model")
        return found
