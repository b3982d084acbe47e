"""Everything runs for real: the nano model's own int4 directory, exported once a session, on the real engine."""

import os
import signal
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GLM4_CACHE"] = tempfile.mkdtemp(prefix="glm4-cache-")
os.environ["GLM4_DATA"] = tempfile.mkdtemp(prefix="glm4-data-")
os.environ["GLM4_MODELS"] = os.path.join(os.environ["GLM4_CACHE"], "models")
os.environ["GLM4_CONFIG"] = os.path.join(os.environ["GLM4_CACHE"], "config.toml")

import pytest

from glm4_export.making import make
from glm4_export.openvino.maker import OpenVINOMaker
from glm4_intel import Runtime, load
from glm4_quantize.recipes import RECIPES

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and their children, ignore it

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "The city"}},
            "required": ["city"],
        },
    },
}


def ask(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="session")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The nano model exported with the cpu recipe."""
    return make("nano", tmp_path_factory.mktemp("models") / "nano", OpenVINOMaker(recipe=RECIPES["cpu"]))


@pytest.fixture(scope="session")
def prefill_nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The nano model with a second way for prompts, compared with its checkpoint."""
    out = tmp_path_factory.mktemp("models") / "nano-int8-prefill"
    return make("nano", out, OpenVINOMaker(recipe=RECIPES["cpu-int8-prefill"], check=True))


@pytest.fixture(scope="session")
def npu_nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The nano model exported with the npu recipe."""
    return make("nano", tmp_path_factory.mktemp("models") / "nano-npu", OpenVINOMaker(recipe=RECIPES["npu"]))


@pytest.fixture(scope="session")
def glm(nano: Path) -> Runtime:
    return load(nano)
