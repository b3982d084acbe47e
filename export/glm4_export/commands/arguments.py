"""The arguments of every command that makes a model directory from a checkpoint."""

import argparse
import sys
from pathlib import Path

from ..making import MakeOptions, Maker


def add_checkpoint_arguments(parser: argparse.ArgumentParser) -> None:
    """SOURCE, OUT, and how the one is read and the other replaced."""
    parser.add_argument("source", metavar="SOURCE", help="a checkpoint's folder, a hub id (OWNER/NAME), or nano")
    parser.add_argument("out", metavar="OUT", type=Path, help="the model directory to make")
    parser.add_argument("--dry-run", action="store_true", help="say what it would take and check all; write nothing")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT, if it is a model directory")
    parser.add_argument("--ignore-limits", action="store_true", help="try where disk or memory look too small")
    parser.add_argument("--revision", help="the hub repository's branch, tag or commit")
    parser.add_argument("--rope-theta", type=float, metavar="X", help="where the config's own is in doubt")
    parser.add_argument("--adapter", metavar="DIR[:SCALE]", action="append", default=[],
                        help="merge what PEFT fine-tuned into the weights first; may be given again")  # fmt: skip
    parser.add_argument("--chat-template", type=Path, metavar="FILE", help="to use instead of the checkpoint's own")


def make_options(args: argparse.Namespace) -> MakeOptions:
    """What those arguments say."""
    from ..checkpoint.adapters import parse_merging

    return MakeOptions(
        revision=args.revision,
        rope_theta=args.rope_theta,
        chat_template=args.chat_template,
        adapters=tuple(parse_merging(text) for text in args.adapter),
        overwrite=args.overwrite,
        ignore_limits=args.ignore_limits,
    )


def dry_run(args: argparse.Namespace, maker: Maker) -> int:
    """Print what the command would take, without doing it."""
    from ..dry_run import outlook

    for line in outlook(args.source, args.out, maker, make_options(args)):
        print(line)
    print("This was a dry run: nothing was written.", file=sys.stderr)
    return 0
