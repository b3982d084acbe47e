"""`glm4-intel quantize SOURCE OUT`."""

import argparse
from pathlib import Path

from glm4_quantize.itrex.schemes import COMPUTES, METHODS, SCALES, WEIGHTS, Scheme

from ..itrex.maker import ITREXMaker
from ..making import make
from ..progress import making
from .arguments import add_checkpoint_arguments, dry_run, make_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    methods = "; ".join(f"{name} {about}" for name, about in METHODS.items())
    parser.description = f"{parser.description} Methods: {methods}."
    add_checkpoint_arguments(parser)
    parser.add_argument("--method", default="rtn", metavar="NAME", help=f"{', '.join(METHODS)} (default rtn)")
    parser.add_argument("--weights", default="int4_clip", metavar="TYPE",
                        help=f"{', '.join(WEIGHTS)} (default int4_clip)")  # fmt: skip
    parser.add_argument("--group-size", type=int, default=128, metavar="N",
                        help="inputs that share a scale (default 128); -1 for a whole row")  # fmt: skip
    parser.add_argument("--asymmetric", action="store_true", help="a zero point for each group")
    parser.add_argument("--scales", default="fp32", metavar="TYPE", help=f"{', '.join(SCALES)} (default fp32)")
    parser.add_argument("--compute", default="", metavar="TYPE",
                        help=f"{', '.join(COMPUTES)} (default int8 for integers, fp32 for the rest)")  # fmt: skip
    parser.add_argument("--calibration", type=Path, metavar="FILE", help="text, or JSONL of messages, for data methods")


def run(args: argparse.Namespace) -> int:
    scheme = Scheme(
        method=args.method, weight_dtype=args.weights, group_size=args.group_size, symmetric=not args.asymmetric,
        scale_dtype=args.scales, compute_dtype=args.compute,
    )  # fmt: skip
    maker = ITREXMaker(scheme=scheme, calibration=args.calibration)
    if args.dry_run:
        return dry_run(args, maker)
    with making(args.out) as progress:
        make(args.source, args.out, maker, make_options(args), progress)
    return 0
