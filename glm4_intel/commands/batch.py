"""`glm4-intel batch IN.jsonl OUT.jsonl --model MODEL`: OpenAI's batch format; run again, it goes on where it ended."""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from .model_arguments import add_model_arguments, load_options
from .model_names import NANO
from .models import MODEL_HELP, model_path

if TYPE_CHECKING:
    from ..serving.jobs import Job
    from ..serving.settings import ServerSettings

_ROOM = 1 << 20
"""Replies that may wait: as many as a file has are begun one after another."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", metavar="IN.jsonl", type=Path, help="requests: custom_id, url and body in each line")
    parser.add_argument("output", metavar="OUT.jsonl", type=Path, help="answers; those that are there stay")
    parser.add_argument("--model", metavar="MODEL", default=NANO, help=f"{MODEL_HELP} (default: nano)")
    parser.add_argument("--name", help="what the requests call the model (default: its directory's name)")
    add_model_arguments(parser)
    parser.set_defaults(profile="throughput", history="refuse")


def run(args: argparse.Namespace) -> int:
    from ..serving.jobs import answers, read_jobs
    from ..serving.settings import ServerSettings

    load = load_options(args)
    jobs = read_jobs(args.input)
    with answers(args.output) as (done, output):
        left = [job for job in jobs if job.custom_id not in done]
        print(f"{len(jobs)} requests, {len(jobs) - len(left)} answered before", file=sys.stderr)
        if not left:
            return 0
        names = (args.name,) if args.name else ()
        settings = ServerSettings(models=(model_path(args.model, args.device),), names=names, load=load, queue=_ROOM)
        failed = asyncio.run(_work(settings, left, output))
    print(f"{len(left)} answered, {failed} of them refused", file=sys.stderr)
    return 0


async def _work(settings: "ServerSettings", jobs: "list[Job]", output: BinaryIO) -> int:
    from ..serving.jobs import work
    from ..serving.server import engines_of

    def told(count: int) -> None:
        end = "\n" if count == len(jobs) or not sys.stderr.isatty() else "\r"
        if sys.stderr.isatty() or count % 100 == 0 or count == len(jobs):
            print(f"{count} of {len(jobs)}", end=end, file=sys.stderr, flush=True)

    async with engines_of(settings, lambda stage, share: None) as (hall, engines):
        await engines[0].start()
        return await work(hall, jobs, output, told)
