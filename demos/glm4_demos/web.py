"""`glm4-intel web [MODEL]`: a chat page on this machine, for oneself or, with a password, for others."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glm4_intel.commands.model_arguments import add_model_arguments, load_options, loading_shown
from glm4_intel.commands.model_names import NANO, find, is_checkpoint, is_hub_id, is_model
from glm4_intel.commands.models import MODEL_HELP, model_path
from glm4_intel.commands.server_arguments import add_server_arguments, asked_server
from glm4_intel.errors import Glm4Error
from glm4_intel.serving.names import Authority, Names, bracketed, is_local

from .listening import require_free
from .tools import TOOLS
from .webpage.door.logins import Passwords, read_passwords
from .webpage.words import Language

if TYPE_CHECKING:
    from glm4_intel.loading import LoadOptions

    from .webpage.models import Models
    from .webpage.uploads import Uploads


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
    auth_file: Path | None = None
    """A file of such, a line each."""
    no_auth: bool = False
    """Let other machines in without a password."""
    root_path: str = ""
    """Where a proxy puts the page."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names that the page is served under, with a port or without."""
    allow_python: bool = False
    """Let visitors switch on the tool that runs the model's code."""
    allow_models: bool = False
    """Let visitors load another model, which is everybody's, where the page is not one person's."""
    max_upload: int = 20
    """Megabytes of a document."""
    queue: int = 32
    """Replies that may be written or awaited at once."""
    language: Language = "en"
    open: bool = False
    """Open a browser."""

    def __post_init__(self) -> None:
        if not 1 <= self.port <= 65535:
            raise Glm4Error(f"--port {self.port} is no port", "Give one from 1 to 65535.")
        if self.queue < 1:
            raise Glm4Error(f"--queue {self.queue} lets nobody in", "Give 1 or more.")
        if self.max_upload < 1:
            raise Glm4Error(f"--max-upload {self.max_upload} takes no document", "Give 1 or more megabytes.")
        if wrong := [name for name in self.allowed_hosts if not Authority.parse(name)]:
            raise Glm4Error(
                f"--allowed-host {wrong[0]} is no name", "Give NAME or NAME:PORT, such as chat.example.org."
            )
        passwords = self.passwords()  # a file of them is read before a model is
        if not is_local(self.host) and not passwords and not self.no_auth:
            raise Glm4Error(
                f"--host {self.host} lets other machines in without a password",
                "Give --auth-file FILE or --auth user:password, or say --no-auth.",
            )

    def passwords(self) -> dict[str, str]:
        """Everybody's. Raises Glm4Error where the file can't be read, or others can read it."""
        return (read_passwords(self.auth_file) if self.auth_file else {}) | dict([self.auth] if self.auth else [])

    @property
    def personal(self) -> bool:
        """Whether whoever comes is the person whose machine this is: not through a proxy, nor from another machine."""
        return is_local(self.host) and not self.allowed_hosts and not self.root_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", nargs="?",
                        help=f"{MODEL_HELP}; or a folder of models (default: nano)")  # fmt: skip
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=7860, help="port to listen on (default 7860)")
    parser.add_argument("--auth", metavar="USER:PASSWORD", help="ask for these; conversations are then the user's")
    parser.add_argument("--auth-file", metavar="FILE", type=Path,
                        help="the same from a file of name:password lines that you alone can read")  # fmt: skip
    parser.add_argument("--no-auth", action="store_true", help="let other machines in without a password")
    parser.add_argument("--root-path", default="", metavar="PATH", help="where a proxy puts the page, such as /chat")
    parser.add_argument("--allowed-host", metavar="NAME[:PORT]", action="append", default=[],
                        help="another name of the page, such as its proxy's; may be given again")  # fmt: skip
    parser.add_argument("--allow-python", action="store_true", help="offer the tool that runs the model's code here")
    parser.add_argument("--allow-models", action="store_true",
                        help="let visitors of a page for others load another model, for everybody")  # fmt: skip
    parser.add_argument("--max-upload", type=int, default=20, metavar="MB", help="largest document (default 20 MB)")
    parser.add_argument("--queue", type=int, default=32, metavar="N",
                        help="messages answered or waiting at once (default 32)")  # fmt: skip
    parser.add_argument("--language", choices=("en", "zh"), default="en", help="the page's language at first")
    parser.add_argument("--open", action="store_true", help="open a browser")
    add_server_arguments(parser)
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    options, server = _arguments(args), asked_server(args)
    if server and options.model:
        raise Glm4Error("A server has its models itself", "Leave MODEL out; --served NAME chooses one.")
    _require_models(options.model)
    require_free(options.host, options.port)  # before an export, too
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported
    from .webpage.models import Models, ServerModels

    if server:
        models: Models = ServerModels(server, args.served, options.load)
    else:
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
        auth_file=args.auth_file,
        no_auth=args.no_auth,
        root_path=args.root_path,
        allowed_hosts=tuple(args.allowed_host),
        allow_python=args.allow_python,
        allow_models=args.allow_models,
        max_upload=args.max_upload,
        queue=args.queue,
        language=args.language,
        open=args.open,
    )


def _serve(models: "Models", options: WebArguments) -> None:
    """Serve the page until Ctrl-C."""
    from .webpage.uploads import Uploads

    uploads = Uploads(options.max_upload << 20)
    with served(models, options, uploads):
        print(f"http://{bracketed(options.host)}:{options.port}{options.root_path}  (Ctrl-C ends it)", flush=True)
        _wait()


@contextmanager
def served(models: "Models", options: WebArguments, uploads: "Uploads") -> Iterator[None]:
    """The page, served meanwhile; then the uploads are removed. Raises Glm4Error where the port can't be had."""
    with _no_proxies():
        blocks = _page(models, options, uploads)
    try:
        with _no_proxies():
            blocks.launch(**_listening(options), **_appearance(), app_kwargs=_app(options, uploads))
        yield
    except OSError as error:
        raise Glm4Error(
            f"{bracketed(options.host)}:{options.port} can't be listened on: {error}", "Choose another with --port."
        ) from error
    finally:
        blocks.close(verbose=False)
        uploads.close()


def _wait() -> None:
    """Until Ctrl-C, or the signal by which services are ended."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    threading.Event().wait()


def _page(models: "Models", options: WebArguments, uploads: "Uploads") -> Any:
    from .webpage.layout import page
    from .webpage.setting import Setting

    os.environ["GRADIO_TEMP_DIR"] = str(uploads.folder)  # read when the page is built
    tools = {name: tool for name, tool in TOOLS.items() if name != "python" or options.allow_python}
    setting = Setting(
        uploads=uploads, tools=tools, language=options.language, at_once=options.queue,
        each=None if options.personal else (options.queue + 1) // 2,
        may_load=options.personal or options.allow_models,
    )  # fmt: skip
    blocks = page(models, setting)
    blocks.queue(max_size=8 * options.queue, api_open=False)  # replies beyond the limit are refused by the handlers
    return blocks


@contextmanager
def _no_proxies() -> Iterator[None]:
    """Gradio asks its own page whether it is up, which no proxy of the environment's can tell.

    It makes its first client when it is imported, which fails where the proxy speaks SOCKS.
    """
    proxies = {name: os.environ.pop(name) for name in list(os.environ) if name.lower().endswith("_proxy")}
    try:
        yield
    finally:
        os.environ.update(proxies)


def _listening(options: WebArguments) -> dict[str, Any]:
    """Gradio's options about where the page is, and for whom."""
    return {
        "server_name": bracketed(options.host),
        "server_port": options.port,
        "auth": Passwords(passwords) if (passwords := options.passwords()) else None,
        "auth_message": "After five attempts, each takes some seconds.",
        "max_file_size": options.max_upload << 20,
        "root_path": options.root_path,
        "inbrowser": options.open,
        "share": False,
        "quiet": True,
        "max_threads": 2 * options.queue + 8,
        "prevent_thread_lock": True,
    }


def _appearance() -> dict[str, Any]:
    """Gradio's options about what the page looks like and what it shows of itself."""
    from .webpage.layout import CSS, JS, theme

    return {
        "footer_links": [],
        "ssr_mode": False,
        "show_error": False,
        "run_history": False,  # it would keep what is said a second time, and offer to send it away
        "theme": theme(),
        "css": CSS,
        "js": JS,
    }


def _app(options: WebArguments, uploads: "Uploads") -> dict[str, Any]:
    """Options of the application beneath Gradio: our gate comes before all of it, once it has been put together."""
    from .webpage.door.gate import Gate

    names = Names(options.host, options.allowed_hosts, options.root_path)
    gate = Gate(names, uploads.most, uploads.has_room, options.personal)

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        app.middleware_stack = gate.before(app.middleware_stack)
        yield

    return {"lifespan": lifespan, "docs_url": None, "redoc_url": None}


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
