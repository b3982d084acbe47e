"""Replicas on Ray behind one server. They take half a minute to begin, and packages of their own."""

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
        children = psutil.Process(process.pid).children(recursive=True)
        replicas = [each for each in children if "ServeReplica" in " ".join(each.cmdline()[:1])]
        assert len(replicas) == 2
        replicas[0].kill()
        assert answers(web) == right
        refused = web.post(CHAT, json={"messages": ask("Hello"), "temperature": -1})
        assert refused.status_code == 400 and refused.json()["error"]["param"] == "temperature"
