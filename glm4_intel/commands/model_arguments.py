"""What every command that loads a model directory asks for, and the progress that it shows meanwhile."""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .model_names import name_of
from .models import model_path
from .status_line import StatusLine

if TYPE_CHECKING:
    from ..loading import LoadOptions, Progress
    from ..runtime import Runtime


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Device, profile, properties and the engine's options."""
    from ..backends import BACKENDS

    group = parser.add_argument_group("device and engine")
    group.add_argument("--device", default="AUTO", help="CPU, GPU, GPU.1, NPU, or AUTO for the best (default)")
    group.add_argument(
        "--backend", metavar="NAME", help=f"{', '.join(BACKENDS)}; the one that it was made for (default)"
    )
    group.add_argument("--profile", default="chat", help="chat (default), long-prompt, throughput, plain or accurate")
    group.add_argument("--property", action="append", default=[], metavar="KEY=VALUE",
                       help="an OpenVINO property, over the profile's; may be repeated")  # fmt: skip
    group.add_argument("--context", type=int, metavar="N", help="tokens of prompt and reply together")
    group.add_argument("--history", choices=("refuse", "trim"), default="trim",
                       help="a conversation too long for the context loses its oldest part (default)")  # fmt: skip
    group.add_argument("--prompt-lookup", action=argparse.BooleanOptionalAction, default=None,
                       help="guess tokens from the prompt: for replies that quote it")  # fmt: skip
    group.add_argument("--draft-model", metavar="MODEL", help="a smaller model that guesses tokens")
    group.add_argument("--adapter", metavar="[NAME=]DIR", action="append", default=[],
                       help="what PEFT fine-tuned; may be given again; chat and web answer with the first, requests to "
                            "serve and batch name theirs (CPU)")  # fmt: skip
    group.add_argument("--sparse-attention", action="store_true", help="for very long prompts, at some loss")
    group.add_argument("--kv-eviction", type=int, metavar="N", help="keep N tokens of the KV cache, at some loss")
    group.add_argument("--blob", metavar="FILE", type=Path, help="NPU: keep the compiled model here, or take it")
    group.add_argument("--no-warmup", dest="warmup", action="store_false",
                       help="leave the repacking of the weights to the first message")  # fmt: skip
    group.add_argument("--no-huge-pages", dest="huge_pages", action="store_false",
                       help="leave the weights in the pages that the engine took (Linux, CPU)")  # fmt: skip
    group.add_argument("--ignore-limits", action="store_true", help="load even where memory seems too small")


def load_options(args: argparse.Namespace) -> "LoadOptions":
    """The options that the command line states. Raises Glm4Error for what can't be."""
    from ..backends import EngineOptions, LoadOptions
    from ..backends.adapters import named_adapters
    from ..devices import parse_properties

    engine = EngineOptions(
        context=args.context,
        prompt_lookup=args.prompt_lookup,
        draft_model=model_path(args.draft_model) if args.draft_model else None,
        sparse_attention=args.sparse_attention,
        kv_eviction=args.kv_eviction,
        blob=args.blob,
    )
    adapters = named_adapters(args.adapter)
    return LoadOptions(
        device=args.device,
        backend=args.backend,
        profile=args.profile,
        properties=parse_properties(args.property),
        engine=engine,
        adapters=adapters,
        adapter=next(iter(adapters), None),
        history=args.history,
        warmup=args.warmup,
        ignore_limits=args.ignore_limits,
        huge_pages=args.huge_pages,
    )


def load_shown(directory: Path, options: "LoadOptions", in_place_of: "Runtime | None" = None) -> "Runtime":
    """The model directory loaded, with what is going on shown on standard error, and what AUTO has taken."""
    from ..loading import load_in_place_of

    started = time.monotonic()
    with loading_shown(directory) as shown:
        runtime = load_in_place_of(in_place_of, directory, options, shown)
    why = f" ({runtime.device_reason})" if runtime.device_reason else ""
    seconds = time.monotonic() - started
    print(
        f"{name_of(directory)} on {runtime.device}{why}, context {runtime.context_length:,}, {seconds:.1f} s",
        file=sys.stderr,
        flush=True,
    )
    return runtime


@contextmanager
def loading_shown(directory: Path) -> "Iterator[Progress]":
    """A bar in a terminal, gone when the model is loaded or refused; a line now and then in a log file."""
    line, name = StatusLine(), name_of(directory)
    if not line.live:
        print(f"loading {name} …", file=sys.stderr, flush=True)
        yield _milestones()
        return
    line.show(f"loading {name}")
    try:
        yield lambda stage, share: line.show(f"loading {name}: {stage}", share)
    finally:
        line.clear()


def _milestones() -> "Progress":
    """A line now and then, for a log file."""
    told = {"at": time.monotonic()}

    def show(stage: str, share: float | None) -> None:
        if time.monotonic() - told["at"] >= 2:
            told["at"] = time.monotonic()
            print(stage if share is None else f"{stage} {share:.0%}", file=sys.stderr, flush=True)

    return show
