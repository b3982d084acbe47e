"""What a server counts, in Prometheus' form. Nothing of a conversation is in it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from ..chat.generation import Timing, Usage

if TYPE_CHECKING:
    from .served import Served

_FIRST = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120)
_EACH = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)


class Metrics:
    """Counters and histograms of a server, and gauges of its models."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter("glm4_requests", "Requests answered", ("path", "status"), registry=registry)
        self._prompt = Counter("glm4_prompt_tokens", "Tokens of prompts", registry=registry)
        self._cached = Counter("glm4_cached_prompt_tokens", "Those of them that the KV cache held", registry=registry)
        self._written = Counter("glm4_completion_tokens", "Tokens of replies", registry=registry)
        self._first = Histogram(
            "glm4_time_to_first_token_seconds", "From a request's coming to its first token, queueing included",
            buckets=_FIRST, registry=registry,
        )  # fmt: skip
        self._each = Histogram(
            "glm4_time_per_token_seconds", "A token after the first, on a reply's average", buckets=_EACH,
            registry=registry,
        )  # fmt: skip

    def count_request(self, path: str, status: int) -> None:
        """A request was answered."""
        self._requests.labels(path, str(status)).inc()

    def count_reply(self, usage: Usage, timing: Timing) -> None:
        """A reply was written to its end."""
        self._prompt.inc(usage.prompt_tokens)
        self._cached.inc(usage.cached_tokens or 0)
        self._written.inc(usage.completion_tokens)
        self._first.observe(timing.time_to_first_token)
        if timing.time_per_token:
            self._each.observe(timing.time_per_token)

    def show(self, models: Iterable["Served"]) -> bytes:
        """All of it, as Prometheus reads it."""
        return bytes(generate_latest(self._registry)) + _gauges(models)


class _Now:
    """The gauges of one moment."""

    def __init__(self, models: Iterable["Served"]) -> None:
        self._models = [model for model in models if model.adapter is None]  # the others share an engine with one

    def collect(self) -> Iterable[Metric]:
        values = {
            "glm4_replies_running": ("Replies that are being written", lambda model: model.engine.live),
            "glm4_replies_waiting": ("Replies that wait for room", lambda model: model.admission.waiting),
            "glm4_kv_cache_reserved": ("Share of the KV cache that those may take", lambda model: model.engine.cache),
            "glm4_engine_restarts": ("Times that the engine was loaded again", lambda model: model.engine.restarts),
            "glm4_engine_ready": ("Whether a model is loaded", lambda model: float(model.engine.facts is not None)),
        }  # fmt: skip
        for name, (text, value) in values.items():
            family = GaugeMetricFamily(name, text, labels=("model",))
            for model in self._models:
                family.add_metric([model.name], value(model))  # type: ignore[no-untyped-call]
            yield family


def _gauges(models: Iterable["Served"]) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Now(models))
    return bytes(generate_latest(registry))
