"""Several models by name, each with an engine of its own; and HTTPS with files of the operator's."""

import asyncio
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import httpx
import pytest
import uvicorn
from house import ScriptedEngine, served

from conftest import ask
from glm4_intel import Glm4Error
from glm4_intel.backends import LoadOptions
from glm4_intel.serving.app import application
from glm4_intel.serving.errors import NotFound
from glm4_intel.serving.hall import Hall
from glm4_intel.serving.names import Names
from glm4_intel.serving.openai import chat
from glm4_intel.serving.server import _uvicorn, engines_of
from glm4_intel.serving.settings import ServerSettings
from scripted import reply_ids

OPTIONS = LoadOptions(profile="throughput", warmup=False)


def test_two_models_answer_by_name(nano: Path) -> None:
    settings = ServerSettings(models=(nano, nano), load=OPTIONS, names=("a", "b"))
    body = {"messages": ask("What is 17 + 25?"), "temperature": 0}

    async def run() -> None:
        async with engines_of(settings, lambda stage, share: None) as (hall, engines):
            for engine in engines:
                await engine.start()
            first, second = await asyncio.gather(*(chat.answer(hall, {**body, "model": name}) for name in "ab"))
            assert (first["model"], second["model"]) == ("a", "b") and first["choices"] == second["choices"]
            assert engines[0]._link and engines[1]._link
            assert engines[0]._link.process.pid != engines[1]._link.process.pid
            assert (await chat.answer(hall, body))["model"] == "a"
            with pytest.raises(NotFound, match="There is no model 'c'"):
                await chat.answer(hall, {**body, "model": "c"})

    asyncio.run(run())


def test_two_models_of_one_name_are_refused(nano: Path) -> None:
    async def run() -> None:
        async with engines_of(ServerSettings(models=(nano, nano), load=OPTIONS), lambda stage, share: None):
            raise AssertionError("nobody could tell them apart")

    with pytest.raises(Glm4Error, match="same name"):
        asyncio.run(run())


@pytest.mark.enable_socket
@pytest.mark.skipif(not shutil.which("openssl"), reason="makes a certificate")
def test_https_with_the_operators_files(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
                   check=True, capture_output=True)  # fmt: skip
    model = served(ScriptedEngine([reply_ids("\nHi.")]))
    settings = ServerSettings(models=(), load=OPTIONS, tls=(certificate, key), drain=1)
    app = application(Hall({"nano": model}, model.metrics), Names("127.0.0.1"))
    server, listening = uvicorn.Server(_uvicorn(settings, app)), socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=lambda: server.run([listening]), daemon=True)
    thread.start()
    address = f"https://127.0.0.1:{listening.getsockname()[1]}"
    trusting = ssl.create_default_context(cafile=certificate)
    try:
        answer = httpx.post(f"{address}/v1/chat/completions", json={"messages": ask("Hello")}, verify=trusting)
        assert answer.json()["choices"][0]["message"]["content"] == "Hi."
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/health")
    finally:
        server.should_exit = True
        thread.join(10)
