"""Replicas of an engine on Ray Serve, each an actor with an engine's process, behind one web process or several.

The web process is the one that serves a single engine: tokens, templates, keys and streams are its own, and a replica
is given token ids. Ray begins a replica anew where it ends, on whatever machine has room. Ray copies this module with
the router to wherever it is used, so that what a process knows lies in `routing`.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.serve.config import RequestRouterConfig
from ray.serve.exceptions import RayServeException
from ray.serve.request_router import PendingRequest, ReplicaID, RequestRouter, RunningReplica

from ..backends import LoadOptions, Request
from ..backends.scoring import Scores
from ..errors import Glm4Error
from ..machine.numa import keep_to
from .engine import EngineProcess, Facts, Piece
from .errors import BadRequest, ServerError, Unavailable
from .routing import BLOCK_TOKENS, block_keys, routing_of
from .settings import ReplicaSettings

log = logging.getLogger(__name__)

_AT_ONCE = 64
"""Replies that a replica has or awaits: Ray keeps the others."""
_LOOK = 2.0
"""Seconds between two looks whether a replica is there."""
_SILENT = 10.0
"""Seconds after which a replica that says nothing is not there: Ray keeps what is asked until there is one."""
_TRIES = 3
"""Of a reply whose replica ended before its first token, and of looks before all replicas are taken to be gone."""
_GONE = (ray.exceptions.RayError, RayServeException)
"""What Ray says where a replica has ended, and where there is none."""


@dataclass(frozen=True)
class Refusal:
    """The end of a reply that could not be written, and the replica that says so."""

    error: ServerError
    replica: str


class PrefixRouter(RequestRouter):  # type: ignore[misc]  # Ray has no types
    """Sends a reply to the replica that holds the longest prefix of its prompt; see `routing`."""

    def initialize_state(self, routing: str) -> None:
        """`routing`: the name under which the state is kept, which is this process's."""
        self._routing = routing_of(routing)
        self._going: dict[str, str] = {}

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """See Ray's RequestRouter: the chosen one first, then the others, of which Ray takes one with room."""
        if not candidate_replicas or pending_request is None or not pending_request.args:
            return [candidate_replicas]
        named = {replica.replica_id.unique_id: replica for replica in candidate_replicas}
        self._routing.keep(named)
        best = self._routing.choose(pending_request.args[0], pending_request.args[2])
        return [[named.pop(best)], list(named.values())] if len(named) > 1 else [candidate_replicas]

    def on_request_routed(self, pending_request: PendingRequest, replica_id: ReplicaID, result: Any) -> None:
        """See Ray's RequestRouter."""
        if pending_request.args:
            self._routing.begin(replica_id.unique_id, pending_request.args[0])
            self._going[pending_request.metadata.internal_request_id] = replica_id.unique_id

    def on_request_completed(self, replica_id: ReplicaID, internal_request_id: str) -> None:
        """See Ray's RequestRouter."""
        if name := self._going.pop(internal_request_id, None):
            self._routing.end(name)


class Replica:
    """What runs in an actor of Ray's: an engine in a process beside it, on one NUMA node."""

    async def __init__(  # type: ignore[misc]  # Ray awaits it
        self, directory: Path, options: LoadOptions, patience: float
    ) -> None:
        keep_to(serve.get_replica_context().rank.local_rank)
        self._engine = EngineProcess(directory, options, patience)
        self._facts = await self._engine.start()

    async def facts(self) -> Facts:
        """What was loaded; whether it is still there is told by `check_health`."""
        return self._facts

    async def check_health(self) -> None:
        """Asked by Ray, which begins a replica anew that raises some times in a row, and sends it nothing meanwhile."""
        if self._engine.failure:
            raise RuntimeError(f"The model could not be loaded again: {self._engine.failure}")

    async def stream(
        self, keys: Sequence[bytes], request: Request, avoid: Sequence[str]
    ) -> AsyncGenerator[Piece | Refusal, None]:
        """The reply in pieces; a refusal is the last. The keys, and the replicas to be avoided, are the router's."""
        pieces = self._engine.stream(request)
        try:
            async for piece in pieces:
                yield piece
        except ServerError as error:  # as a value: Ray would wrap it in an error of its own
            yield Refusal(error, serve.get_replica_context().replica_id.unique_id)
        finally:
            await pieces.aclose()


class ReplicatedEngine:
    """Replicas as one engine. See Engine. Begin with `start`."""

    def __init__(self, name: str, directory: Path, options: LoadOptions, patience: float, replicas: ReplicaSettings):
        self.facts: Facts | None = None
        self.live, self.cache, self.restarts = 0, 0.0, 0
        """`live` are the replies that have been begun to be written; replicas don't tell of their caches."""
        self.routing = routing_of(name)
        self.name, self._replicas = name, replicas
        self._arguments = directory.resolve(), options.with_absolute_paths(), patience
        self._handle: Any = None
        self._watching: asyncio.Task[None] | None = None
        self._begun, self._joined = asyncio.Event(), False
        """Whether there are replicas, and whether they are another web process's and stay when this one ends."""

    async def start(self) -> Facts:
        """Begin the replicas. Raises Glm4Error where none could load the model."""
        self._handle = await asyncio.to_thread(self._run)
        self.facts = await self._told()
        self.routing.capacity = self.facts.cached_tokens // BLOCK_TOKENS
        self._watching = asyncio.create_task(self._watch())
        self._begun.set()
        return self.facts

    def _run(self) -> Any:
        begin(self._replicas)
        self._joined = self.name in serve.status().applications
        return serve.get_app_handle(self.name) if self._joined else self._deployed()

    def _deployed(self) -> Any:
        router = RequestRouterConfig(request_router_class=PrefixRouter, request_router_kwargs={"routing": self.name})
        deployment = serve.deployment(
            Replica, name="Replica", num_replicas=self._replicas.count, max_ongoing_requests=_AT_ONCE,
            ray_actor_options={"num_cpus": self._replicas.cores}, request_router_config=router,
            health_check_period_s=_LOOK,
        )  # fmt: skip
        try:
            return serve.run(deployment.bind(*self._arguments), name=self.name, route_prefix=None)
        except RuntimeError as error:  # Ray's word for replicas that can't be begun
            raise Glm4Error(f"The replicas could not be begun: {error}", "See: glm4-intel doctor") from error

    async def ready(self) -> Facts:
        """See Engine."""
        await self._begun.wait()
        if self.facts is None:
            raise Unavailable("No replica is there", "Ask again.", retry_after=_LOOK)
        return self.facts

    async def _told(self) -> Facts:
        """What a replica says of its model. Raises Unavailable where none is there."""
        try:
            facts: Facts = await asyncio.wait_for(self._handle.facts.remote(), _SILENT)
        except (*_GONE, asyncio.TimeoutError) as error:
            raise Unavailable(f"No replica is there: {_line(error)}", "Ask again.", retry_after=_LOOK) from error
        return facts

    async def stream(self, request: Request) -> AsyncGenerator[Piece, None]:
        """See Engine. A reply whose replica or its engine ends before the first token is begun again elsewhere."""
        keys, avoid = block_keys(request.ids, request.adapter), list[str]()
        for left in reversed(range(_TRIES)):
            answers = self._handle.options(stream=True).stream.remote(keys, request, tuple(avoid))
            begun = False
            try:
                async for piece in answers:
                    if isinstance(piece, Refusal):
                        raise piece.error
                    self.live += not begun
                    begun = True
                    yield piece
                return
            except Unavailable:
                if begun or not left:
                    raise
                avoid.append(piece.replica)
            except _GONE as error:
                if begun or not left:
                    raise Unavailable("The replica ended before the reply did", "Ask again.", retry_after=1) from error
            finally:
                answers.cancel()
                self.live -= begun
        raise AssertionError

    async def score(self, ids: Sequence[int], top: int) -> AsyncGenerator[Scores, None]:
        """See Engine. Replicas score no texts, and their facts say so."""
        raise BadRequest("Replicas don't score texts", "Serve the model without --replicas.", "echo")
        yield

    async def _watch(self) -> None:
        failed = 0
        while True:
            await asyncio.sleep(_LOOK)
            try:
                self.facts, failed = await self._told(), 0
            except Unavailable as error:
                log.error("%s", error)
                failed += 1
                if failed >= _TRIES:
                    self.facts = None

    async def close(self) -> None:
        """See Engine."""
        if self._watching:
            self._watching.cancel()
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        if not ray.is_initialized():
            return
        if not self._joined:
            serve.delete(self.name)
        if self._replicas.ray is None:
            ray.shutdown()


def begin(replicas: ReplicaSettings) -> None:
    """Join the cluster, or begin one. Raises Glm4Error."""
    if ray.is_initialized():
        return
    alone: dict[str, Any] = {} if replicas.ray else {"num_cpus": 1, "include_dashboard": False}
    try:
        ray.init(address=replicas.ray or "local", log_to_driver=False, logging_level=logging.ERROR, **alone)
        serve.start(proxy_location="Disabled")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise Glm4Error(f"Ray can't be reached: {_line(error)}", "Begin it: ray start --head") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
