"""`glm4-intel chat --server`: the real server over a scripted engine, and servers that behave badly."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from house import ScriptedEngine, served

from conftest import ask
from glm4_intel import agent
from glm4_intel.cli import main
from glm4_intel.serving.app import application
from glm4_intel.serving.client import ServerRuntime
from glm4_intel.serving.exchange import Server
from glm4_intel.serving.hall import Hall
from glm4_intel.serving.keys import Keys
from glm4_intel.serving.names import Names
from scripted import call_ids, reply_ids

pytestmark = pytest.mark.enable_socket
MODELS = b'{"data": [{"id": "nano"}]}'


@contextmanager
def running(engine: ScriptedEngine, keys: Keys | None = None) -> Iterator[str]:
    """The address of a server over an engine."""
    model = served(engine)
    app = application(Hall({"nano": model}, model.metrics), Names("127.0.0.1"), keys)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=lambda: server.run([listening]), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def bad_server(*answers: bytes) -> Iterator[str]:
    """A server that sends these bytes, one for each connection, and hangs up."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for answer in answers:
            connection, _ = listening.accept()
            connection.recv(65536)
            connection.sendall(answer)
            connection.close()

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    listening.close()


def http(body: bytes, status: str = "200 OK", *headers: bytes) -> bytes:
    head = b"HTTP/1.1 %s\r\ncontent-length: %d\r\n" % (status.encode(), len(body))
    return head + b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body


def test_a_question_is_answered_by_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    with running(ScriptedEngine([reply_ids("\nHi there.")] * 2, cached=3)) as address:
        assert main(["chat", "--server", address, "Hello"]) == 0
        assert capsys.readouterr().out == "Hi there.\n"
        reply = ServerRuntime(Server(f"{address}/v1")).generate(ask("Hello"), temperature=0, max_new_tokens=9)
    assert reply.text == "Hi there." and reply.finish_reason == "stop"
    assert reply.usage.cached_tokens == 3 and reply.usage.completion_tokens == len(reply_ids("\nHi there."))


def test_tools_run_here(capsys: pytest.CaptureFixture[str]) -> None:
    engine = ScriptedEngine([call_ids("get_weather", '{"city": "Oslo"}'), reply_ids("\nIt is sunny.")])

    def get_weather(city: str) -> str:
        """Get the current weather"""
        return f"sunny in {city}"

    with running(engine) as address:
        events = list(agent.run(ServerRuntime(Server(address)), ask("Weather?"), [get_weather]))
    assert [type(each).__name__ for each in events if not isinstance(each, agent.Wrote)] == [
        "Called", "Observed", "Finished",
    ]  # fmt: skip
    assert isinstance(events[-1], agent.Finished) and events[-1].reply.text == "It is sunny."
    assert len(engine.requests[1].ids) > len(engine.requests[0].ids)


def test_who_leaves_stops_the_server() -> None:
    engine = ScriptedEngine([reply_ids("\n" + "long " * 4000)])
    with running(engine) as address:
        cancel = threading.Event()
        chunks = ServerRuntime(Server(address)).stream(ask("Hello"), cancel=cancel)
        next(chunks)
        cancel.set()
        assert list(chunks)[-1].finish_reason == "cancelled"
        end = time.monotonic() + 10
        while engine.live:
            assert time.monotonic() < end, "the server writes on"
            time.sleep(0.01)


def test_a_key_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    file = tmp_path / "key"
    file.write_text("a-good-key\n")
    file.chmod(0o600)
    with running(ScriptedEngine([reply_ids("\nHi.")] * 2), Keys(["a-good-key"])) as address:
        assert main(["chat", "--server", address, "Hello"]) == 1
        assert "key" in capsys.readouterr().err
        assert main(["chat", "--server", address, "Hello", "--api-key-file", str(file)]) == 0
        monkeypatch.setenv("GLM4_API_KEY", "a-good-key")
        assert main(["chat", "--server", address, "Hello"]) == 0


STREAM = b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}\n\n'
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(STREAM), STREAM)


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([b""], "ended the connection"),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], "does not speak HTTP"),
        ([http(b"<html>", "404 Not Found")], "not as OpenAI's API does"),
        ([http(b"<html>")], "not as OpenAI's API does"),
        ([http(b"", "307 Temporary Redirect", b"location: http://elsewhere")], "answers 307"),
        ([http(b'{"data": 5}')], "unknown form"),
        ([http(b'{"data": []}')], "has no model"),
        ([http(MODELS)[:-3]], "ended the connection"),
        ([http(MODELS), http(b'{"error": {"message": "It\\nis full"}}', "429 Too Many")], "429: It is full"),
        ([http(MODELS), CHUNKED], "ended"),
        ([http(MODELS), http(STREAM)], "before its end"),
        ([http(MODELS), http(b"data: {\n\n")], "not JSON"),
        ([http(MODELS), http(b"data: 5\n\n")], "unknown form"),
        ([http(MODELS), http(b'data: {"choices": 5}\n\n')], "unknown form"),
        ([http(MODELS), http(b'data: {"error": {"message": "The engine ended"}}\n\n')], "The engine ended"),
    ],
)  # fmt: skip
def test_a_bad_server_is_one_line(answers: list[bytes], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with bad_server(*answers) as address:
        assert main(["chat", "--server", address, "Hello"]) == 1
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1 and told in error[0], error


@pytest.mark.parametrize(
    "arguments",
    [
        ["--server", "localhost:8000", "x"], ["--server", "ftp://x", "x"], ["--server", "http://[::1", "x"],
        ["--server", "http://127.0.0.1:1", "x"], ["--server", "http://127.0.0.1:99999", "x"],
        ["nano", "x", "--served", "y"], [], ["--server", "http://127.0.0.1:1", "nano", "x"],
    ],
)  # fmt: skip
def test_what_is_no_server(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", *arguments]) == 1
    assert capsys.readouterr().err.count("error: ") == 1
