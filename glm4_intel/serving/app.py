"""The application: a table of addresses, errors in each API's own shape, and the door before all of it."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import anthropic, ollama
from .bodies import read_json
from .door import Door
from .errors import BadRequest, ClientLeft, NotAllowed, NotFound, ServerError
from .hall import Hall
from .keys import Keys
from .names import Names
from .openai import chat, completions, models, responses
from .openai.sampling import error_body
from .streams import Receive

log = logging.getLogger(__name__)

Create = Callable[[Hall, Any, Receive], Awaitable[Response]]
Shape = Callable[[ServerError], Any]

POSTS: dict[str, Create] = {
    "/v1/chat/completions": chat.create,
    "/v1/completions": completions.create,
    "/v1/responses": responses.create,
    "/v1/embeddings": models.refuse_embeddings,
    "/v1/messages": anthropic.create,
    "/v1/messages/count_tokens": anthropic.count_tokens,
    "/api/chat": ollama.chat,
    "/api/generate": ollama.generate,
    "/api/show": ollama.show,
    "/tokenize": models.tokenize,
    "/detokenize": models.detokenize,
}
SHAPES: dict[str, Shape] = {"/v1/messages": anthropic.error_body, "/api/": ollama.error_body}
"""The shape of errors by the beginning of the path; OpenAI's for the rest."""


def application(hall: Hall, names: Names, keys: Keys | None = None, origins: frozenset[str] = frozenset()) -> Door:
    """The ASGI application for models that are loaded elsewhere, or are being."""
    posts = [Route(path, _endpoint(hall, create), methods=["POST"]) for path, create in POSTS.items()]
    handlers: dict[Any, Any] = {
        ServerError: _refused,
        HTTPException: _unknown,
        ClientDisconnect: _left,
        Exception: _failed,
    }
    app = Starlette(routes=[*posts, *_gets(hall)], exception_handlers=handlers)
    return Door(app, names, refusal, hall.metrics, keys, origins)


def _endpoint(hall: Hall, create: Create) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return await create(hall, await read_json(request, hall.most_bytes), request.receive)

    return answer


def _gets(hall: Hall) -> list[Route]:
    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(request: Request) -> Response:
        loaded = {model.name: model.engine.facts is not None for model in hall.models.values()}
        return JSONResponse({"models": loaded}, 200 if all(loaded.values()) else 503)

    async def metrics(request: Request) -> Response:
        return Response(hall.metrics.show(hall.models.values()), media_type="text/plain; version=0.0.4")

    async def listed(request: Request) -> Response:
        return JSONResponse(models.listed(hall))

    async def described(request: Request) -> Response:
        return JSONResponse(models.described(hall.model(request.path_params["name"])))

    async def tokenizer_info(request: Request) -> Response:
        return JSONResponse(models.tokenizer_info(hall.model(request.query_params.get("model"))))

    async def tags(request: Request) -> Response:
        return JSONResponse(ollama.tags(hall))

    async def version(request: Request) -> Response:
        return JSONResponse(ollama.version())

    table = {"/api/tags": tags, "/api/version": version, "/health": health, "/ready": ready, "/metrics": metrics,
             "/tokenizer_info": tokenizer_info, "/v1/models": listed, "/v1/models/{name:path}": described}  # fmt: skip
    return [Route(path, endpoint, methods=["GET"]) for path, endpoint in table.items()]


def refusal(path: str, error: ServerError) -> Response:
    """An error as the API that the path belongs to tells it."""
    shape = next((shape for start, shape in SHAPES.items() if path.startswith(start)), error_body)
    headers = {"retry-after": f"{error.retry_after:.0f}"} if error.retry_after else {}
    return JSONResponse(shape(error), error.status, headers)


async def _refused(request: Request, error: ServerError) -> Response:
    return refusal(request.url.path, error)


async def _unknown(request: Request, error: HTTPException) -> Response:
    kinds = {404: NotFound, 405: NotAllowed}
    return refusal(request.url.path, kinds.get(error.status_code, BadRequest)(error.detail))


async def _left(request: Request, error: ClientDisconnect) -> Response:
    return refusal(request.url.path, ClientLeft("The client has left"))


async def _failed(request: Request, error: Exception) -> Response:
    log.error("a request failed", exc_info=error)
    failure = ServerError("The server failed")
    failure.status = 500
    return refusal(request.url.path, failure)
