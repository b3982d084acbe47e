"""What can be checked before the work is: nothing large is fetched and nothing is written before it holds."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_hub import COMMIT, REPOSITORY, FakeHub

from glm4_demos.nano import CHECKPOINT
from glm4_intel import model_directory

pytestmark = pytest.mark.enable_socket  # of a server on this machine
WEIGHTS = "model.safetensors"


@pytest.fixture
def hub(request: pytest.FixtureRequest) -> Iterator[FakeHub]:
    hub = FakeHub(getattr(request, "param", (CHECKPOINT, {}))[0], getattr(request, "param", (CHECKPOINT, {}))[1])
    yield hub
    hub.close()


def export(hub: FakeHub, home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    changed = {**os.environ, "HF_ENDPOINT": hub.address, "HF_HOME": str(home / "hub"), "HF_HUB_OFFLINE": "0",
               "HF_HUB_DISABLE_XET": "1", **environment}  # fmt: skip
    command = [sys.executable, "-m", "glm4_intel", "export", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=changed, cwd=home, timeout=300)


def refused(hub: FakeHub, home: Path, said: str, *arguments: str, **environment: str) -> None:
    """The export says so in one line, has fetched no weights and has written nothing."""
    done = export(hub, home, *arguments, **environment)
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert WEIGHTS not in hub.given
    assert not list(home.glob("out*"))


def test_a_repository_is_fetched_and_exported(hub: FakeHub, tmp_path: Path) -> None:
    done = export(hub, tmp_path, REPOSITORY, "out")
    assert done.returncode == 0, done.stderr
    assert hub.given.index("config.json") < hub.given.index(WEIGHTS)
    manifest = model_directory.read(tmp_path / "out").manifest
    assert manifest is not None and manifest.source == REPOSITORY and manifest.revision == COMMIT
    again = export(hub, tmp_path, REPOSITORY, "again", HF_HUB_OFFLINE="1")
    assert again.returncode == 0 and hub.given.count(WEIGHTS) == 1, again.stderr


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(hub: FakeHub, tmp_path: Path) -> None:
    done = export(hub, tmp_path, REPOSITORY, "out", "--dry-run", "--check")
    assert done.returncode == 0, done.stderr
    for said in ("GlmForCausalLM", "for the download", "for the model directory", "memory", "100 Mbit/s"):
        assert said in done.stdout
    assert WEIGHTS not in hub.given and not list(tmp_path.iterdir())


@pytest.mark.parametrize("hub", [(CHECKPOINT, {WEIGHTS: 10**15})], indirect=True)
def test_a_disk_without_room_for_the_download(hub: FakeHub, tmp_path: Path) -> None:
    refused(hub, tmp_path, "the model directory needs about 1000000.0 GB", REPOSITORY, "out")
    dry = export(hub, tmp_path, REPOSITORY, "out", "--dry-run")
    assert dry.returncode == 1 and "1000000.0 GB for the download" in dry.stdout and "--ignore-limits" in dry.stderr


def test_files_that_can_not_be_used(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "bad.jsonl").write_text("{")
    refused(hub, tmp_path, "none.txt can't be read", REPOSITORY, "out", "--check", "none.txt")
    refused(hub, tmp_path, "empty.txt is too short to compare with", REPOSITORY, "out", "--check", "empty.txt")
    data = ("--recipe", "int4-awq-data", "--calibration")
    refused(hub, tmp_path, "none.txt can't be read as calibration data", REPOSITORY, "out", *data, "none.txt")
    refused(hub, tmp_path, "bad.jsonl, line 1 is no JSON", REPOSITORY, "out", *data, "bad.jsonl")
    refused(hub, tmp_path, "none.jinja can't be read", REPOSITORY, "out", "--chat-template", "none.jinja")


def test_a_repository_that_is_not_there(hub: FakeHub, tmp_path: Path) -> None:
    refused(hub, tmp_path, "The hub has no repository no/such", "no/such", "out")


def test_who_may_not_upload_is_told_first(hub: FakeHub, tmp_path: Path) -> None:
    pushed = (REPOSITORY, "out", "--push-to-hub")
    refused(hub, tmp_path, "nobody is logged in to the hub", *pushed, "ada/glm4")
    refused(hub, tmp_path, "who is logged in, can't upload for bob", *pushed, "bob/glm4", HF_TOKEN="write")
    refused(hub, tmp_path, "token of ada may only read", *pushed, "engines/glm4", HF_TOKEN="read")
    refused(hub, tmp_path, "is no repository's name", *pushed, "glm4", HF_TOKEN="write")


def test_a_check_prints_what_it_found(hub: FakeHub, tmp_path: Path) -> None:
    done = export(hub, tmp_path, "nano", "out", "--check")
    assert done.returncode == 0 and done.stdout.startswith("over 512 tokens: ") and "perplexity" in done.stdout
