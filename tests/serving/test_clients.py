"""The public clients against `glm4-intel serve`, each in a process that finds it where GLM4_CLIENTS says."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import clients, server

SCRIPTS = sorted((Path(__file__).parent / "clients").glob("*.py"))


@pytest.fixture(scope="module")
def address(nano: Path) -> Iterator[str]:
    with server(nano) as (address, _):
        yield address


@pytest.mark.clients
@pytest.mark.enable_socket
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_client(script: Path, address: str) -> None:
    done = subprocess.run(
        [sys.executable, str(script), address], env=clients(), capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "ok\n", done.stderr
