"""A real browser on a real server: starting both, and what a visitor does with the page."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, expect

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@contextmanager
def server(model: Path, data: Path, *arguments: str) -> Iterator[str]:
    """`glm4-intel web` in a process of its own; its address. Who comes is a stranger, unless arguments say more."""
    port = free_port()
    command = [sys.executable, "-m", "glm4_intel.cli", "web", str(model), "--port", str(port), *arguments]
    command += [] if {"--auth", "--host", "--root-path"} & {*arguments} else ["--host", "0.0.0.0", "--no-auth"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               env={**os.environ, "GLM4_DATA": str(data)})  # fmt: skip
    try:
        yield _answering(process, f"http://127.0.0.1:{port}/")
    finally:
        process.terminate()
        process.wait(20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answering(process: subprocess.Popen[str], address: str) -> str:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(process.stdout.read() if process.stdout else "")
        try:
            urllib.request.urlopen(address, timeout=2)
            return address
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server does not answer")


@contextmanager
def proxy(path: str, inner: str) -> Iterator[str]:
    """A reverse proxy that shows the page at `inner` under a path, which it takes away; the public address."""
    import httpx
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route

    client = httpx.AsyncClient(base_url=inner, timeout=60)

    async def pass_on(request: Request) -> StreamingResponse:
        headers = {key: value for key, value in request.headers.items() if key != "host"}
        headers |= {"x-forwarded-host": request.headers["host"], "x-forwarded-proto": "http"}
        target = client.build_request(
            request.method,
            request.url.path.removeprefix(path) or "/",
            params=request.query_params,
            headers=headers,
            content=await request.body(),
        )
        answer = await client.send(target, stream=True)
        return StreamingResponse(answer.aiter_raw(), answer.status_code, dict(answer.headers))

    async def icon(request: Request) -> Response:  # browsers ask the host itself for one
        return Response(status_code=204)

    routes = [Route(path + "{rest:path}", pass_on, methods=["GET", "POST", "HEAD"]), Route("/favicon.ico", icon)]
    port = free_port()
    runner = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), port=port, log_level="error"))
    thread = threading.Thread(target=runner.run, daemon=True)
    thread.start()
    while not runner.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}{path}/"
    runner.should_exit = True
    thread.join(10)


@contextmanager
def empty_site() -> Iterator[str]:
    """Another site on this machine, of one empty page; its address."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Empty) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{site.server_address[1]}/"
        site.shutdown()


class Visitor:
    """Somebody with a browser of their own, who notes what a page should not do."""

    def __init__(self, browser: Browser, address: str, **context: Any) -> None:
        self.context: BrowserContext = browser.new_context(**context)
        self.faults: list[str] = []
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda message: message.type == "error" and self.faults.append(message.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.faults.append(f"dialog {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda request: self._noted(request.url, address))
        self.page.on(
            "response", lambda answer: answer.status >= 400 and self.faults.append(f"{answer.status} {answer.url}")
        )
        self.page.goto(address)
        self.input = self.page.locator("#message textarea")
        expect(self.input).to_be_editable(timeout=15_000)
        expect(self.page.locator("#status")).to_contain_text("openvino_genai", timeout=15_000)

    def _noted(self, url: str, address: str) -> None:
        if not url.startswith((address, "data:", "blob:")):
            self.faults.append(f"a request to {url}")

    def ask(self, text: str) -> None:
        self.input.fill(text)
        self.input.press("Enter")

    def wait_for_reply(self, text: str, count: int = 1) -> None:
        """Until the `count`th reply is whole and holds a text."""
        expect(self.page.locator("#chat .figures")).to_have_count(count, timeout=30_000)
        expect(self.page.locator("#chat .bot.message").last).to_contain_text(text, timeout=30_000)

    def settings(self) -> None:
        """Open the settings."""
        self.page.locator("#settings > button").click()
        expect(self.page.locator("#system textarea")).to_be_visible()

    def close(self) -> None:
        self.context.close()
        assert not self.faults, self.faults
