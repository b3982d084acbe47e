"""Batches: a file is answered whole, whatever ends the run in between."""

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from house import ScriptedEngine, served
from running import engine_of

from conftest import ask
from glm4_intel import Glm4Error
from glm4_intel.cli import main
from glm4_intel.serving.errors import BadRequest, Unavailable
from glm4_intel.serving.hall import Hall
from glm4_intel.serving.jobs import answers, read_jobs, work
from scripted import reply_ids


def write(file: Path, count: int) -> None:
    bodies = ({"messages": ask(f"What is {n} + 5?"), "temperature": 0} for n in range(count))
    lines = [{"custom_id": f"n{n}", "method": "POST", "url": "/v1/chat/completions", "body": body}
             for n, body in enumerate(bodies)]  # fmt: skip
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_batch_that_is_killed_goes_on(nano: Path, tmp_path: Path) -> None:
    requests, answers = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write(requests, 150)
    command = [sys.executable, "-m", "glm4_intel.cli", "batch", str(requests), str(answers), "--model", str(nano),
               "--no-warmup"]  # fmt: skip
    for _ in range(2):
        before = answers.stat().st_size if answers.exists() else 0
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while process.poll() is None and (not answers.exists() or answers.stat().st_size <= before):
            time.sleep(0.002)
        process.kill()
        process.wait()
    with answers.open("ab") as torn:
        torn.write(b'{"id": "cut sh')
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    if sys.platform == "linux":  # its engine is looked for in /proc; a batch goes on without asking
        _kill_engine(process, answers)
    assert process.wait() == 0
    lines = [json.loads(line) for line in answers.read_text().splitlines()]
    assert sorted(line["custom_id"] for line in lines) == sorted(f"n{n}" for n in range(150))
    assert all(line["response"]["status_code"] == 200 and line["error"] is None for line in lines)


def test_what_a_dead_engine_left_is_answered_by_the_next_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    requests, file = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write(requests, 60)
    gone = [Unavailable("The model could not be loaded: no memory") for _ in range(180)]

    def run(engine: ScriptedEngine) -> int:
        model = served(engine, queue=100)
        with answers(file) as (done, output):
            left = [job for job in read_jobs(requests) if job.custom_id not in done]
            return asyncio.run(work(Hall({"nano": model}, model.metrics), left, output, lambda count: None))

    with pytest.raises(Glm4Error, match="After 2 of 60 requests: The model could not be loaded") as told:
        run(ScriptedEngine([reply_ids("a"), BadRequest("too long"), *gone]))
    assert "Run it again" in told.value.hint and len(file.read_bytes().splitlines()) == 2
    gc.collect()
    assert not caplog.records, "asyncio complains of what nobody asked for"
    assert run(ScriptedEngine([reply_ids("b")] * 58)) == 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted(line["custom_id"] for line in lines) == sorted(f"n{n}" for n in range(60))
    assert [line["response"]["status_code"] for line in lines].count(200) == 59


def _kill_engine(process: "subprocess.Popen[bytes]", answers: Path) -> None:
    """Kill the engine's process once it has answered something, if there is anything left to answer."""
    before = answers.stat().st_size
    while process.poll() is None and answers.stat().st_size <= before:
        time.sleep(0.002)
    if process.poll() is None:
        os.kill(engine_of(process), signal.SIGKILL)


def test_what_is_no_batch_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "in.jsonl"
    for text, told in (
        ("{", "line 1 is not JSON"), ("{}", "custom_id"), ('{"custom_id": "a", "url": "/v1/x"}', "/v1/x"),
        ('{"custom_id": "a", "url": "/v1/completions"}\n' * 2, "twice"),
    ):  # fmt: skip
        file.write_text(text)
        assert main(["batch", str(file), str(tmp_path / "out.jsonl")]) == 1
        assert told in capsys.readouterr().err
