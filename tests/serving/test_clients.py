"""The public clients against `glm4-intel serve`, each in a process that finds it where GLM4_CLIENTS says.

Those that are not installed there are skipped. One that needs an environment of its own has it in a folder there, which
is named as its script.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import clients, server

SCRIPTS = sorted((Path(__file__).parent / "clients").glob("*_client.py"))
MISSING = "ModuleNotFoundError: No module named"


@pytest.fixture(scope="module")
def address(nano: Path) -> Iterator[str]:
    with server(nano, "--scoring") as (address, _):
        yield address


@pytest.mark.clients
@pytest.mark.enable_socket
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem.removesuffix("_client"))
def test_a_client(script: Path, address: str, tmp_path: Path) -> None:
    own = Path(os.environ["GLM4_CLIENTS"]) / script.stem.removesuffix("_client") / "bin" / "python"
    environment, python = (dict(os.environ), own) if own.is_file() else (clients(), Path(sys.executable))
    environment |= {"HOME": str(tmp_path), "DO_NOT_TRACK": "1"}
    command = [str(python), str(script), address]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    if done.returncode and MISSING in done.stderr.splitlines()[-1]:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.stdout.splitlines()[-1:] == ["ok"], done.stdout[-3000:] + done.stderr[-3000:]
