"""Adapters are models of a server's: listed, asked for by name, and written by the engine of their base."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from house import ScriptedEngine, served

from conftest import ask
from glm4_intel.backends import EngineOptions, LoadOptions, Request
from glm4_intel.chat.generation import GenerationParams
from glm4_intel.errors import Glm4Error
from glm4_intel.serving.app import application
from glm4_intel.serving.hall import Hall
from glm4_intel.serving.names import Names
from glm4_intel.serving.server import engines_of
from glm4_intel.serving.settings import ServerSettings
from glm4_intel.serving.wire import add_frame, added_request
from scripted import reply_ids


def house(engine: ScriptedEngine) -> httpx.AsyncClient:
    """A model and two adapters over one engine."""
    base = served(engine)
    models = {"nano": base, **{name: replace(base, name=name, adapter=name) for name in ("legal", "poems")}}
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(application(Hall(models, base.metrics), Names("127.0.0.1"))),
        base_url="http://localhost",
    )


def test_every_api_takes_an_adapter_by_its_name() -> None:
    engine = ScriptedEngine([reply_ids("\nHi.")] * 5)
    bodies: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": {"messages": ask("Hello")},
        "/v1/completions": {"prompt": "Once"},
        "/v1/responses": {"input": "Hello"},
        "/v1/messages": {"messages": ask("Hello"), "max_tokens": 10},
        "/api/chat": {"messages": ask("Hello"), "stream": False},
    }

    async def work() -> list[httpx.Response]:
        async with house(engine) as client:
            listed = await client.get("/v1/models")
            assert [each["id"] for each in listed.json()["data"]] == ["nano", "legal", "poems"]
            gauges = (await client.get("/metrics")).text
            assert 'glm4_replies_running{model="nano"}' in gauges and "poems" not in gauges
            return [await client.post(path, json={"model": "poems", **body}) for path, body in bodies.items()]

    answers = asyncio.run(work())
    assert [answer.status_code for answer in answers] == [200] * 5, [answer.text for answer in answers]
    assert [request.adapter for request in engine.requests] == ["poems"] * 5
    assert all(answer.json()["model"] == "poems" for answer in answers)


def test_the_models_own_replies_have_none() -> None:
    engine = ScriptedEngine([reply_ids("\nHi.")])

    async def work() -> httpx.Response:
        async with house(engine) as client:
            return await client.post("/v1/chat/completions", json={"model": "nano", "messages": ask("Hello")})

    assert asyncio.run(work()).status_code == 200 and engine.requests[0].adapter is None


@pytest.mark.parametrize("adapter", [None, "poems"])
def test_an_adapter_goes_through_the_pipe(adapter: str | None) -> None:
    request = Request(ids=[1, 2], params=GenerationParams(), adapter=adapter)
    assert added_request(add_frame(3, request)).adapter == adapter


def test_names_are_the_servers_own(nano: Path) -> None:
    load = LoadOptions(adapters={"poems": Path("a"), "legal": Path("b")})
    settings = ServerSettings(models=(nano,), load=load, names=("glm",))

    async def names(settings: ServerSettings) -> list[tuple[str, str | None]]:
        async with engines_of(settings, lambda stage, share: None) as (hall, _):
            return [(name, model.adapter) for name, model in hall.models.items()]

    assert asyncio.run(names(settings)) == [("glm", None), ("poems", "poems"), ("legal", "legal")]
    with pytest.raises(Glm4Error, match="same name"):
        asyncio.run(names(replace(settings, names=("poems",))))
    with pytest.raises(Glm4Error, match="--adapter is for one model"):
        replace(settings, models=(nano, nano))


def test_a_load_is_the_same_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    engine = EngineOptions(draft_model=Path("small"), context=512)
    asked = LoadOptions(adapters={"a": Path("legal"), "b": Path("~/poems")}, adapter="a", engine=engine)
    sent = asked.with_absolute_paths()
    assert sent.adapters == {"a": tmp_path / "legal", "b": tmp_path / "home" / "poems"} and sent.adapter == "a"
    assert sent.engine == EngineOptions(draft_model=tmp_path / "small", context=512)
    assert LoadOptions().with_absolute_paths() == LoadOptions()
