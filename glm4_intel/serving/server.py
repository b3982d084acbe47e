"""A server's life: the models are loaded while it listens, it answers, and it lets replies end before it does."""

import asyncio
import logging
import math
import signal
import socket
import sys
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Protocol

import uvicorn

from ..errors import Glm4Error
from ..loading import Progress
from .app import application
from .door import Door
from .door import log as access_log
from .engine import Engine, EngineProcess, Facts
from .hall import Hall
from .keys import Keys
from .metrics import Metrics
from .names import Names, bracketed
from .served import Served, served
from .settings import ServerSettings

_KEEP_ALIVE = 75
"""Seconds that an idle connection stays: longer than proxies keep theirs, which would else send into a closing one."""


class StartedEngine(Engine, Protocol):
    """An engine whose model this process asks to be loaded."""

    async def start(self) -> Facts:
        """Load the model. Raises Glm4Error where it can't be loaded."""
        ...


def serve(settings: ServerSettings, progress: Progress) -> None:
    """Serve until the process is told to end. Raises Glm4Error where a model can't be loaded or the port not be had."""
    keys = Keys.from_file(settings.api_key_file) if settings.api_key_file else None
    with _listening(settings) as listening:
        _log_access()
        asyncio.run(_serve(settings, keys, listening, progress))


async def _serve(settings: ServerSettings, keys: Keys | None, listening: socket.socket, progress: Progress) -> None:
    async with engines_of(settings, progress) as (hall, engines):
        names = Names(settings.host, settings.allowed_hosts, origins=settings.cors)
        app = application(hall, names, keys, frozenset(settings.cors))
        server = uvicorn.Server(_uvicorn(settings, app))
        _leave_signals_to(server)
        loading = asyncio.create_task(_load(engines, server, settings))
        await server.serve([listening])
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
        if not loading.cancelled() and (failure := loading.exception()):
            raise failure


async def _load(engines: Sequence[StartedEngine], server: uvicorn.Server, settings: ServerSettings) -> None:
    """One model after another, so that two never repack their weights at once."""
    try:
        for engine in engines:
            facts = await engine.start()
            print(f"on {facts.device}, context {facts.context:,}", file=sys.stderr, flush=True)
    except Glm4Error:
        server.should_exit = True
        raise
    scheme = "https" if settings.tls else "http"
    print(f"{scheme}://{bracketed(settings.host)}:{settings.port}/v1  (Ctrl-C ends it)", flush=True)


@asynccontextmanager
async def engines_of(
    settings: ServerSettings, progress: Progress
) -> AsyncGenerator[tuple[Hall, list[StartedEngine]], None]:
    """The models of a server and their engines, which are not started yet, and are closed at the end."""
    metrics, models, engines = Metrics(), list[Served](), list[StartedEngine]()
    for path, name in zip_longest(settings.models, settings.names):
        engine = _engine(path, name or path.resolve().name, settings, progress)
        models.append(
            served(path, engine, metrics, name=name, queue=settings.queue, history=settings.load.history,
                   most_tokens=settings.max_tokens)
        )  # fmt: skip
        models += [replace(models[-1], name=each, adapter=each) for each in settings.load.adapters]
        engines.append(engine)
    named = {model.name: model for model in models}
    if len(named) < len(models):
        raise Glm4Error("Two models have the same name", "Give each its own with --name.")
    try:
        yield Hall(named, metrics, settings.max_body << 20), engines
    finally:
        for engine in engines:
            await engine.close()


def _engine(path: Path, name: str, settings: ServerSettings, progress: Progress) -> StartedEngine:
    if settings.replicas is None:
        return EngineProcess(path, settings.load, settings.patience, progress, settings.scoring)
    from .replicas import ReplicatedEngine  # Ray is an extra of its own

    return ReplicatedEngine(f"glm4-{name}", path, settings.load, settings.patience, settings.replicas)


def _uvicorn(settings: ServerSettings, app: Door) -> uvicorn.Config:
    certificate, key = settings.tls or (None, None)
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=math.ceil(settings.drain),
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )


def _listening(settings: ServerSettings) -> socket.socket:
    host = settings.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, settings.port), family=family, backlog=512)
    except OSError as error:
        raise Glm4Error(
            f"{settings.host}:{settings.port} can't be listened on: {error}", "Choose another with --port."
        ) from error


def _leave_signals_to(server: uvicorn.Server) -> None:
    """uvicorn drains at a signal and raises it again afterwards, where it would end the process before its engines."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: setattr(server, "should_exit", True))


def _log_access() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    access_log.addHandler(handler)
    access_log.setLevel(logging.INFO)
    access_log.propagate = False
