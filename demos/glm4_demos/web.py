"""`glm4-intel web [MODEL]`: a chat page on this machine, for oneself or, with a password, for others."""

import argparse
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glm4_intel.commands.model_arguments import add_model_arguments, load_options, loading_shown
from glm4_intel.commands.models import MODEL_HELP, is_hub_id, model_path
from glm4_intel.errors import Glm4Error
from glm4_intel.model_names import NANO, find, is_checkpoint, is_model

from .listening import in_url, is_local, require_free

if TYPE_CHECKING:
    from glm4_intel.loading import LoadOptions

    from .webpage.models import Models

_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "frame-ancestors 'none'"
)
"""Content-Security-Policy: nothing from another host, whatever a reply holds."""


@dataclass(frozen=True, kw_only=True)
class WebArguments:
    """What the command line asks for."""

    model: str | None
    """A model, or a folder of them; None takes the embedded nano model."""
    load: "LoadOptions"
    host: str = "127.0.0.1"
    port: int = 7860
    auth: tuple[str, str] | None = None
    """User and password."""
    no_auth: bool = False
    """Let other machines in without a password."""
    root_path: str = ""
    """Where a proxy puts the page."""
    queue: int = 32
    """Replies that may be written or awaited at once."""
    language: str = "en"
    open: bool = False
    """Open a browser."""

    def __post_init__(self) -> None:
        if not 1 <= self.port <= 65535:
            raise Glm4Error(f"--port {self.port} is no port", "Give one from 1 to 65535.")
        if self.queue < 1:
            raise Glm4Error(f"--queue {self.queue} lets nobody in", "Give 1 or more.")
        if not is_local(self.host) and not self.auth and not self.no_auth:
            raise Glm4Error(
                f"--host {self.host} lets other machines in without a password",
                "Give --auth user:password, or say --no-auth.",
            )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", nargs="?",
                        help=f"{MODEL_HELP}; or a folder of models (default: nano)")  # fmt: skip
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=7860, help="port to listen on (default 7860)")
    parser.add_argument("--auth", metavar="USER:PASSWORD", help="ask for these; conversations are then the user's")
    parser.add_argument("--no-auth", action="store_true", help="let other machines in without a password")
    parser.add_argument("--root-path", default="", metavar="PATH", help="where a proxy puts the page, such as /chat")
    parser.add_argument("--queue", type=int, default=32, metavar="N",
                        help="messages answered or waiting at once (default 32)")  # fmt: skip
    parser.add_argument("--language", choices=("en", "zh"), default="en", help="the page's language at first")
    parser.add_argument("--open", action="store_true", help="open a browser")
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    options = _arguments(args)
    _require_models(options.model)
    require_free(options.host, options.port)  # before an export, too
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported
    from .webpage.models import Models

    models = Models(_directory(options.model, options.load.device), options.load)
    first = models.available()[0]
    with loading_shown(first) as shown:
        models.load(first, options.load.device, shown)
    _serve(models, options)
    return 0


def _arguments(args: argparse.Namespace) -> WebArguments:
    return WebArguments(
        model=args.model,
        load=load_options(args),
        host=args.host.strip("[]"),
        port=args.port,
        auth=_auth(args.auth),
        no_auth=args.no_auth,
        root_path=args.root_path,
        queue=args.queue,
        language=args.language,
        open=args.open,
    )


def _serve(models: "Models", options: WebArguments) -> None:
    """Serve the page until Ctrl-C."""
    try:
        with _no_proxies():
            from .webpage.layout import page

            blocks = page(models, options.language, at_once=options.queue)
            # replies beyond the limit are refused by the handlers
            blocks.queue(max_size=8 * options.queue, api_open=False)
            blocks.launch(**_listening(options), **_appearance())
    except OSError as error:
        raise Glm4Error(
            f"{in_url(options.host)}:{options.port} can't be listened on: {error}", "Choose another with --port."
        ) from error
    print(f"http://{in_url(options.host)}:{options.port}{options.root_path}  (Ctrl-C ends it)", flush=True)
    threading.Event().wait()


@contextmanager
def _no_proxies() -> Iterator[None]:
    """Gradio asks its own page whether it is up, which no proxy of the environment's can tell.

    Already when imported it makes a client, which fails where a SOCKS proxy is named and httpx lacks a package for it.
    """
    proxies = {name: os.environ.pop(name) for name in list(os.environ) if name.lower().endswith("_proxy")}
    try:
        yield
    finally:
        os.environ.update(proxies)


def _listening(options: WebArguments) -> dict[str, Any]:
    """Gradio's options about where the page is, and for whom."""
    return {
        "server_name": in_url(options.host),
        "server_port": options.port,
        "auth": options.auth,
        "root_path": options.root_path,
        "inbrowser": options.open,
        "share": False,
        "quiet": True,
        "max_threads": 2 * options.queue + 8,
        "prevent_thread_lock": True,
    }


def _appearance() -> dict[str, Any]:
    """Gradio's options about what the page looks like and what it shows of itself."""
    from starlette.middleware import Middleware

    from .webpage.layout import CSS, JS, theme

    return {
        "footer_links": [],
        "ssr_mode": False,
        "show_error": False,
        "run_history": False,  # it would keep what is said a second time, and offer to send it away
        "theme": theme(),
        "css": CSS,
        "js": JS,
        "app_kwargs": {"middleware": [Middleware(_Headers)], "docs_url": None, "redoc_url": None},
    }


class _Headers:
    """Starlette middleware: the policy on every answer."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"content-security-policy", _POLICY.encode())]
            await send(message)

        await self._app(scope, receive, sent)


def _require_models(model: str | None) -> None:
    """Raises Glm4Error where there is nothing to load and nothing to export."""
    if model is None or model == NANO or is_hub_id(model):
        return
    folder = find(model)
    if folder is None:
        raise Glm4Error(f"There is no folder {model}", "Make a model with: glm4-intel export SOURCE OUT")
    if not (is_model(folder) or is_checkpoint(folder) or any(is_model(each) for each in folder.iterdir())):
        raise Glm4Error(f"{model} holds no model directory", "Make one with: glm4-intel export SOURCE OUT")


def _directory(model: str | None, device: str) -> Path:
    """The model, or the folder of models, that was given; nano by default."""
    return model_path(NANO if model is None else model, device)


def _auth(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    user, colon, password = text.partition(":")
    if not (user and colon and password):
        raise Glm4Error("--auth is not of the form USER:PASSWORD", "For example: --auth ada:correct-horse")
    return user, password
