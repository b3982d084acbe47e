"""The page served over a scripted model, and a visitor who speaks to it as its own script does."""

import json
import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from glm4_demos import web
from glm4_demos.webpage.models import Loaded, Models
from glm4_demos.webpage.uploads import Uploads
from glm4_intel.loading import LoadOptions
from scripted import scripted


def scripted_models(folder: Path, replies: Sequence[Sequence[int]]) -> Models:
    """A model that gives these replies, in a folder that looks like a model directory."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "glm4.json").touch()
    models = Models(folder, LoadOptions())
    runtime, _ = scripted(*replies)
    models._loaded = Loaded(directory=folder, device="CPU", backend="openvino_genai", runtime=runtime)
    return models


@contextmanager
def page(
    folder: Path, replies: Sequence[Sequence[int]] = (), models: Models | None = None, **options: Any
) -> Iterator[str]:
    """The page, served in this process; its address."""
    host = options.pop("host", "127.0.0.1")
    port = options.pop("port", None) or free_port()
    arguments = web.WebArguments(model=None, load=LoadOptions(), host=host, port=port, **options)
    uploads = Uploads(arguments.max_upload << 20, folder / "uploads")
    with web.served(models or scripted_models(folder / "scripted", replies), arguments, uploads):
        yield f"http://{'[::1]' if ':' in host else '127.0.0.1'}:{port}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Refused(Exception):
    """What the page said instead of doing something."""


class Tab:
    """A tab of a browser on the page."""

    def __init__(self, address: str, **headers: str) -> None:
        self.client = httpx.Client(base_url=address, headers=headers, timeout=60)
        self.session = uuid.uuid4().hex
        self.told: list[str] = []
        self._config: dict[str, Any] = {}

    def log_in(self, name: str, password: str) -> int:
        """The status."""
        return self.client.post("/login", data={"username": name, "password": password}).status_code

    def open(self, browser: str = "") -> dict[str, Any]:
        self._config = self.client.get("/config").raise_for_status().json()
        return self.call("open_page", browser, "en")

    def ask(self, text: str, file: str | None = None, tools: Sequence[str] = ()) -> dict[str, Any]:
        """A question, and what the page shows when it is answered."""
        self.submit(text, file)
        self.call("answer", None, None, list(tools), "en", 0, 1, 0, 64, 1, 1)
        return self.call("finish", None, None, "en")

    def submit(self, text: str, file: str | None = None) -> dict[str, Any]:
        files = [{"path": file, "orig_name": Path(file).name, "meta": {"_type": "gradio.FileData"}}] if file else []
        return self.call("submit", {"text": text, "files": files}, None, None, "", "en")

    def upload(self, name: str, content: bytes) -> str:
        answer = self.client.post("/gradio_api/upload", files={"files": (name, content)})
        if answer.status_code != 200:
            raise Refused(f"{answer.status_code} {answer.text}")
        return str(answer.json()[0])

    def call(self, name: str, *values: Any) -> dict[str, Any]:
        """What a handler shows, by the places of its components."""
        function = next(each for each in self._config["dependencies"] if each["api_name"] == name)
        asked = {"data": values, "fn_index": function["id"], "session_hash": self.session}
        kind = {"content-type": "application/json"}
        self.client.post("/gradio_api/queue/join", content=json.dumps(asked), headers=kind).raise_for_status()
        data: list[Any] = []
        for message in self._messages():
            if message["msg"] == "log":
                self.told.append(message["log"])
            if message["msg"] == "process_completed":
                if not message["success"]:
                    raise Refused(str(message["output"].get("error")))
                data = message["output"].get("data") or []
        shown = [self._names()[each] for each in function["outputs"]]
        return dict(zip(shown, data, strict=False))

    def _messages(self) -> Iterator[dict[str, Any]]:
        with self.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session}) as lines:
            for line in lines.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line[5:])

    def _names(self) -> dict[int, str]:
        return {each["id"]: each["props"].get("elem_id") or each["type"] for each in self._config["components"]}


def questions(shown: dict[str, Any]) -> list[str]:
    """What the user asked, as the page shows it."""
    said = [each for each in shown["chat"] if each["role"] == "user"]
    return [each["content"] if isinstance(each["content"], str) else each["content"][0]["text"] for each in said]


def listed(shown: dict[str, Any]) -> list[str]:
    """The titles of the list."""
    return [title for title, _ in shown["conversations"]["choices"]]
