"""Programs that others wrote, over `glm4-intel serve`: one turn each, and what it took.

    npm install --prefix FOLDER @mariozechner/pi-coding-agent @continuedev/cli
    python benchmarks/outside_program.py FOLDER [MODEL]

pi speaks all three APIs, with its tools and short instructions. Continue's are about 2,900 tokens, for which the nano
model has no room: it is told so.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving import free_port, running

QUESTION = "What is 17 + 25?"
APIS = {"openai-completions": "/v1", "openai-responses": "/v1", "anthropic-messages": ""}
"""pi's names of the APIs, and the path that each begins with."""
CONTINUE = """name: here
version: 0.0.1
schema: v1
models: [{{name: served, provider: openai, model: served, apiBase: {address}/v1, apiKey: none, roles: [chat]}}]
"""


@contextmanager
def server(model: str) -> Iterator[str]:
    """The address of a server, once it is ready."""
    port = free_port()
    command = [sys.executable, "-m", "glm4_intel.cli", "serve", model, "--name", "served", "--port", str(port)]
    address = f"http://127.0.0.1:{port}"
    with running(command, f"{address}/ready"):
        yield address


def pi(program: Path, home: Path, address: str, api: str) -> list[str]:
    """The command of one turn of pi over an API."""
    provider = {"baseUrl": address + APIS[api], "api": api, "apiKey": "none", "models": [{"id": "served"}]}
    (home / "models.json").write_text(json.dumps({"providers": {"here": provider}}))
    session = ["--no-session", "--offline", "--system-prompt", "Be brief."]
    return [str(program), "--provider", "here", "--model", "served", *session, "-p", QUESTION]


def continue_cli(program: Path, home: Path, address: str) -> list[str]:
    """The command of one turn of Continue's."""
    (home / "config.yaml").write_text(CONTINUE.format(address=address))
    return [str(program), "--config", str(home / "config.yaml"), "-p", QUESTION]


def report(name: str, command: list[str], home: Path) -> None:
    environment = {**os.environ, "HOME": str(home), "PI_CODING_AGENT_DIR": str(home), "PI_OFFLINE": "1",
                   "CONTINUE_TELEMETRY_ENABLED": "0", "DO_NOT_TRACK": "1"}  # fmt: skip
    started = time.monotonic()
    done = subprocess.run(command, env=environment, cwd=home, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    said = " ".join((done.stdout.strip() or done.stderr.strip()).split())[-200:]
    print(f"{name:24} status {done.returncode}  {time.monotonic() - started:5.1f} s  {said}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("model", nargs="?", default="nano")
    options = parser.parse_args()
    programs = options.folder.resolve() / "node_modules" / ".bin"
    with server(options.model) as address, tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if (program := programs / "pi").exists():
            for api in APIS:
                report(f"pi, {api}", pi(program, home, address, api), home)
        if (program := programs / "cn").exists():
            report("Continue", continue_cli(program, home, address), home)


if __name__ == "__main__":
    main()
