"""`glm4-intel export SOURCE OUT`."""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from glm4_quantize.recipes import RECIPES, recipe_named


@dataclass(frozen=True)
class ExportArguments:
    source: str
    out: Path
    recipe: str
    revision: str | None
    checks: int
    force: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="a checkpoint's folder, a hub id (OWNER/NAME), or nano")
    parser.add_argument("out", metavar="OUT", type=Path, help="the model directory to make")
    parser.add_argument("--recipe", default="cpu", help=f"how to compress: {', '.join(RECIPES)} (default cpu)")
    parser.add_argument("--revision", help="the hub repository's branch, tag or commit")
    parser.add_argument("--checks", type=int, default=4, metavar="N", help="prompts to compare, up to 4; 0 for none")
    parser.add_argument("--force", action="store_true", help="replace OUT if it exists")


def run(args: argparse.Namespace) -> int:
    options = ExportArguments(args.source, args.out, args.recipe, args.revision, args.checks, args.force)
    recipe = recipe_named(options.recipe)
    from .pipeline import export

    progress = Progress()
    try:
        export(options.source, options.out, recipe, options.revision, options.checks, options.force, progress)
    finally:
        progress.done()
    print(f"{options.out} is ready. Talk to it: glm4-intel chat {options.out}", file=sys.stderr)
    return 0


class Progress:
    """Tells on stderr what is being done, and after each step how long it took."""

    def __init__(self) -> None:
        self._started: float | None = None

    def __call__(self, line: str) -> None:
        self.done()
        self._started = time.perf_counter()
        print(f"{line} … ", end="", file=sys.stderr, flush=True)

    def done(self) -> None:
        if self._started is not None:
            print(f"{time.perf_counter() - self._started:.1f} s", file=sys.stderr, flush=True)
            self._started = None
