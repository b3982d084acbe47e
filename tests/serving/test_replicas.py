"""Replicas on Ray behind one server. They take half a minute to begin, and packages of their own."""

import os
import time
from pathlib import Path

import httpx
import psutil
import pytest
from running import server

from conftest import ask

pytestmark = [pytest.mark.ray, pytest.mark.enable_socket]
CHAT = "/v1/chat/completions"


def answers(web: httpx.Client) -> list[str]:
    told = [web.post(CHAT, json={"messages": ask(f"Count from 1 to {n}."), "temperature": 0}) for n in range(10, 20)]
    return [each.json()["choices"][0]["message"]["content"] for each in told]


def replicas_of(server: int) -> list[psutil.Process]:
    children = psutil.Process(server).children(recursive=True)
    return [each for each in children if "ServeReplica" in line(each).partition("\0")[0]]


def line(process: psutil.Process) -> str:
    try:
        return "\0".join(process.cmdline())
    except psutil.NoSuchProcess:  # it has ended since it was listed
        return ""


def linked(model: Path, folder: Path) -> Path:
    """A model directory of links, which can be taken away."""
    folder.mkdir()
    for file in model.iterdir():
        (folder / file.name).symlink_to(file)
    return folder


def test_two_replicas_answer_as_one_and_one_may_be_killed(nano: Path) -> None:
    pytest.importorskip("ray")
    with server(nano) as (address, _), httpx.Client(base_url=address, timeout=60) as web:
        right = answers(web)
    with (
        server(nano, "--replicas", "2", patience=180) as (address, process),
        httpx.Client(base_url=address, timeout=60) as web,
    ):
        assert answers(web) == right
        with web.stream("POST", CHAT, json={"messages": ask("Count from 1 to 59."), "stream": True}) as lines:
            next(lines.iter_lines())  # and leave
        replicas = replicas_of(process.pid)
        assert len(replicas) == 2
        replicas[0].kill()
        assert answers(web) == right
        refused = web.post(CHAT, json={"messages": ask("Hello"), "temperature": -1})
        assert refused.status_code == 400 and refused.json()["error"]["param"] == "temperature"


def test_a_replica_that_cannot_load_its_model_again_is_left_out(nano: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    model = linked(nano, tmp_path / "model")
    with (
        server(model, "--replicas", "2", patience=180) as (address, process),
        httpx.Client(base_url=address, timeout=60) as web,
    ):
        right, replica = answers(web), replicas_of(process.pid)[0]
        os.rename(model / "config.json", tmp_path / "config.json")
        next(each for each in replica.children() if "spawn_main" in line(each)).kill()
        while replica.is_running():
            assert answers(web) == right and web.get("/ready").status_code == 200
        os.rename(tmp_path / "config.json", model / "config.json")
        end = time.monotonic() + 120
        while len(ready := [each for each in replicas_of(process.pid) if each.children()]) < 2:
            assert time.monotonic() < end, f"{len(ready)} replicas came back"
            time.sleep(1)
        assert answers(web) == right
