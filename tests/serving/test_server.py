"""The server as its operator runs it: keys, names, limits, kills and the end."""

import asyncio
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from house import ScriptedEngine, client
from running import engine_of, server

from conftest import ask
from glm4_intel.cli import main
from glm4_intel.serving.errors import EngineFailed
from glm4_intel.serving.keys import Keys
from glm4_intel.serving.names import Names
from scripted import reply_ids

CHAT = "/v1/chat/completions"
COUNT = {"messages": ask("Count from 1 to 40."), "temperature": 0}


def test_keys_are_asked_for_but_by_who_watches() -> None:
    async def run() -> None:
        async with client(reply_ids("\nHi"), door={"keys": Keys(["first-key-1", "second-key"])}) as web:
            assert (await web.get("/health")).status_code == 200
            refused = await web.get("/v1/models")
            assert refused.status_code == 401 and refused.json()["error"]["code"] == "invalid_api_key"
            assert (await web.get("/v1/models", headers={"authorization": "Bearer wrong"})).status_code == 401
            assert (await web.get("/v1/models", headers={"authorization": "Bearer second-key"})).status_code == 200
            assert (await web.get("/v1/models", headers={"x-api-key": "first-key-1"})).status_code == 200
            told = (await web.post("/v1/messages", json={})).json()
            assert told["type"] == "error" and told["error"]["type"] == "authentication_error"

    asyncio.run(run())


def test_names_and_sites() -> None:
    async def run() -> None:
        site = "https://chat.example"
        async with client(reply_ids("\nHi")) as web:
            assert (await web.get("/v1/models", headers={"host": "evil.example"})).status_code == 403
            assert (await web.get("/v1/models", headers={"origin": site})).status_code == 403
        door = {"origins": frozenset([site])}
        async with client(reply_ids("\nHi"), door=door, names=Names("127.0.0.1", origins=[site])) as web:
            answer = await web.get("/v1/models", headers={"origin": site, "x-request-id": "mine.1"})
            assert answer.headers["access-control-allow-origin"] == site and answer.headers["x-request-id"] == "mine.1"
            assert (await web.options(CHAT, headers={"origin": site})).status_code == 204
            assert (await web.get("/v1/models", headers={"origin": "https://evil.example"})).status_code == 403

    asyncio.run(run())


def test_a_full_queue_says_when_to_come_back() -> None:
    async def run() -> None:
        engine = ScriptedEngine([reply_ids("\nHi")] * 3)
        engine.hold = asyncio.Event()
        async with client(engine=engine, queue=1) as web:
            first = asyncio.create_task(web.post(CHAT, json=COUNT))
            while not engine.live:
                await asyncio.sleep(0.001)
            second = asyncio.create_task(web.post(CHAT, json=COUNT | {"stream": True}))
            while engine.live < 2:
                await asyncio.sleep(0.001)
            engine.live = 1  # as it is where the cache has no room for a second reply
            refused = await web.post(CHAT, json=COUNT)
            assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
            engine.live = 2
            engine.hold.set()
            assert (await first).status_code == (await second).status_code == 200
            assert (await web.post(CHAT, json=COUNT)).status_code == 200

    asyncio.run(run())


def test_bodies_and_engines_that_fail() -> None:
    async def run() -> None:
        async with client(EngineFailed("The engine failed"), most_tokens=10) as web:
            assert (await web.post(CHAT, content=b"{")).status_code == 400
            assert (await web.post(CHAT, content=b" " * (33 << 20))).status_code == 413
            assert (await web.post(CHAT, json=COUNT | {"max_tokens": 11})).json()["error"]["param"] == "max_tokens"
            assert (await web.post(CHAT, json=COUNT)).status_code == 500
            assert "glm4_engine_ready" in (await web.get("/metrics")).text

    asyncio.run(run())


def test_a_host_without_a_key_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(tmp_path), "--host", "0.0.0.0"]) == 1
    assert "--api-key-file" in capsys.readouterr().err
    keys = tmp_path / "keys"
    keys.write_text("a-good-key\n")
    keys.chmod(0o644)
    assert main(["serve", str(tmp_path), "--api-key-file", str(keys)]) == 1
    assert "other users" in capsys.readouterr().err


@pytest.mark.enable_socket
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_server_that_is_left_killed_and_ended(nano: Path) -> None:
    with server(nano) as (address, process):
        with httpx.Client(base_url=address, timeout=60) as web:
            expected = web.post(CHAT, json=COUNT).json()["choices"][0]["message"]["content"]
            assert expected.startswith("1, 2, 3")

            with web.stream("POST", CHAT, json=COUNT | {"stream": True, "max_tokens": 1500}) as lines:
                next(lines.iter_lines())
            _wait(lambda: 'glm4_replies_running{model="nano"} 0.0' in web.get("/metrics").text, 2)

            os.kill(engine_of(process), signal.SIGKILL)
            started = time.monotonic()
            answers = [web.post(CHAT, json=COUNT) for _ in range(2)]
            assert answers[-1].json()["choices"][0]["message"]["content"] == expected
            assert time.monotonic() - started < 30

        told: list[str] = []
        reading = threading.Thread(target=lambda: told.append(httpx.post(address + CHAT, json=COUNT, timeout=60).text))
        reading.start()
        time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        reading.join(30)
        assert json.loads(told[0])["choices"][0]["message"]["content"] == expected
        assert process.wait(20) == 0


def _wait(condition: object, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)
