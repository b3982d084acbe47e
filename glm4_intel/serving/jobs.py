"""OpenAI's batches: a file of requests becomes a file of answers, which a later run goes on with.

An answer is one line, written and on the disk before the next is begun to be written. What is whole in the file is
done; a line that was cut short is taken off and computed again. So nothing is lost, and nothing is in it twice.
"""

import asyncio
import json
import os
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import Glm4Error
from .bodies import whole_json
from .errors import ServerError, Unavailable
from .hall import Hall
from .openai import chat, completions
from .openai.sampling import error_body

_ANSWERS = {"/v1/chat/completions": chat.answer, "/v1/completions": completions.answer}
_AT_ONCE = 48
"""Requests that the engine has or awaits: three of its batches."""
_TRIES = 3
"""Of a request whose engine ended."""


@dataclass(frozen=True)
class Job:
    """A line of the file."""

    custom_id: str
    url: str
    body: Mapping[str, Any]


def read_jobs(file: Path) -> list[Job]:
    """The requests of a file. Raises Glm4Error that names the first line that is none, or a number given twice."""
    jobs: dict[str, Job] = {}
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                job = _job(line, f"{file}, line {number}")
                if job.custom_id in jobs:
                    raise Glm4Error(f"{file}, line {number}: custom_id {job.custom_id!r} is there twice")
                jobs[job.custom_id] = job
    return list(jobs.values())


def _job(line: bytes, where: str) -> Job:
    try:
        told = whole_json(line)
    except (ValueError, RecursionError) as error:
        raise Glm4Error(f"{where} is not JSON: {error}") from error
    if not isinstance(told, dict) or not isinstance(told.get("custom_id"), str):
        raise Glm4Error(f"{where} has no custom_id")
    if told.get("method", "POST") != "POST" or told.get("url") not in _ANSWERS:
        raise Glm4Error(f"{where} asks for {told.get('url')!r}", f"There are {', '.join(_ANSWERS)}.")
    return Job(told["custom_id"], told["url"], told.get("body") or {})


@contextmanager
def answers(file: Path) -> Iterator[tuple[set[str], BinaryIO]]:
    """The custom ids that are answered in a file, and the file, to be added to by this process alone.

    Raises Glm4Error where another run writes to it.
    """
    with file.open("a+b") as output:
        _lock(output, file)
        output.seek(0)
        done, whole = set[str](), 0
        for line in output:
            if not line.endswith(b"\n"):
                break
            done.add(str(json.loads(line)["custom_id"]))
            whole += len(line)
        output.truncate(whole)
        yield done, output


def _lock(output: BinaryIO, file: Path) -> None:
    if os.name != "posix":
        return
    import fcntl

    try:
        fcntl.flock(output, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise Glm4Error(f"{file} is being written to by another run", "Wait for it to end.") from error


async def work(hall: Hall, jobs: list[Job], output: BinaryIO, told: Callable[[int], None]) -> int:
    """Answer all jobs, a line each as they are done; `told` is called with their number. Returns how many failed.

    Raises Glm4Error where the engine is gone for good: what is not answered then is left to the next run.
    """
    failed = count = 0
    try:
        async for line in _answered(hall, jobs):
            output.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            output.flush()
            os.fsync(output.fileno())
            failed += line["error"] is not None
            count += 1
            told(count)
    except Unavailable as error:
        raise Glm4Error(f"After {count} of {len(jobs)} requests: {error}", "Run it again, which goes on.") from error
    return failed


async def _answered(hall: Hall, jobs: list[Job]) -> AsyncGenerator[dict[str, Any], None]:
    """The answers in the order in which they are done; so many are begun at once."""
    waiting, going = iter(jobs), set[asyncio.Task[dict[str, Any]]]()
    try:
        while True:
            for job in waiting:
                going.add(asyncio.create_task(_answer(hall, job)))
                if len(going) >= _AT_ONCE:
                    break
            if not going:
                return
            done, going = await asyncio.wait(going, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=lambda task: task.exception() is not None):  # what is answered is kept
                yield task.result()
    finally:
        for task in going:
            task.cancel()


async def _answer(hall: Hall, job: Job) -> dict[str, Any]:
    try:
        status, body, error = 200, await _tried(hall, job), None
    except Unavailable:  # the engine's fault and not the request's, which a line would count as done
        raise
    except ServerError as refused:
        status, body = refused.status, error_body(refused)
        error = {"code": str(status), "message": refused.told}
    number = uuid.uuid4().hex
    response = {"status_code": status, "request_id": f"req_{number}", "body": body}
    return {"id": f"batch_req_{number}", "custom_id": job.custom_id, "response": response, "error": error}


async def _tried(hall: Hall, job: Job) -> dict[str, Any]:
    """The answer to a job, asked again where the engine ended. Raises ServerError, Unavailable the last time."""
    for _ in range(_TRIES - 1):
        try:
            return await _ANSWERS[job.url](hall, {**job.body, "stream": False})
        except Unavailable:
            pass  # the engine is loaded again meanwhile
    return await _ANSWERS[job.url](hall, {**job.body, "stream": False})
