"""The page to a server that somebody runs: its models are the server's, and so are the replies."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio", reason="pip install -r requirements-dev.txt")
from glm4_demos.webpage.models import ServerModels  # noqa: E402
from glm4_intel import Glm4Error  # noqa: E402
from glm4_intel.cli import main  # noqa: E402
from glm4_intel.loading import LoadOptions  # noqa: E402
from glm4_intel.serving.exchange import Server  # noqa: E402
from serving import Tab, page  # noqa: E402

pytestmark = pytest.mark.enable_socket
MODELS = {"data": [{"id": "small", "max_model_len": 2048}, {"id": "org/large:latest"}]}


class Served(BaseHTTPRequestHandler):
    """Lists two models, and answers with the name of the one that is asked."""

    asked: list[dict[str, Any]] = []

    def do_GET(self) -> None:
        self._send(json.dumps(MODELS))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append(body)
        if "messages" not in body:
            return self._send(json.dumps({"count": 5}))
        delta = {"choices": [{"index": 0, "delta": {"content": f"I am {body['model']}."}, "finish_reason": None}]}
        end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 9,
               "completion_tokens": 4}}  # fmt: skip
        self._send("".join(f"data: {json.dumps(each)}\n\n" for each in (delta, end)) + "data: [DONE]\n\n")

    def _send(self, text: str) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *values: Any) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Served)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield Server(f"http://127.0.0.1:{listening.server_port}")
    listening.shutdown()


def test_a_question_is_answered_by_the_server(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLM4_DATA", str(tmp_path / "data"))
    models = ServerModels(server, None, LoadOptions())
    models.load(models.available()[0], "AUTO", lambda stage, share: None)
    with page(tmp_path, models=models) as address:
        tab = Tab(address)
        tab.open()
        assert "I am small." in str(tab.ask("Who are you?"))
        models.load(Path("org/large:latest"), "AUTO", lambda stage, share: None)
        assert "I am org/large:latest." in str(tab.ask("And now?"))
    said = [each["role"] for each in Served.asked[-1]["messages"]]
    assert said == ["user", "assistant", "user"] and "repetition_penalty" not in Served.asked[-1]


def test_a_server_without_such_a_model(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Glm4Error, match="has no model medium"):
        ServerModels(server, "medium", LoadOptions())
    models = ServerModels(server, "org/large:latest", LoadOptions())
    assert models.available() == [Path("org/large:latest"), Path("small")]
    with pytest.raises(Glm4Error, match="not among the models"):
        models.load(Path("medium"), "AUTO", lambda stage, share: None)
    assert main(["web", "--server", "http://127.0.0.1:1"]) == 1
    assert main(["web", "nano", "--server", server.url]) == 1
    assert capsys.readouterr().err.count("error: ") == 2
