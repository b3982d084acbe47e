"""The arguments of every command that makes a model directory from a checkpoint."""

import argparse
from pathlib import Path


def add_checkpoint_arguments(parser: argparse.ArgumentParser) -> None:
    """SOURCE, OUT, and how the one is read and the other replaced."""
    parser.add_argument("source", metavar="SOURCE", help="a checkpoint's folder, a hub id (OWNER/NAME), or nano")
    parser.add_argument("out", metavar="OUT", type=Path, help="the model directory to make")
    parser.add_argument("--force", action="store_true", help="replace OUT; try where disk or memory look too small")
    parser.add_argument("--revision", help="the hub repository's branch, tag or commit")
    parser.add_argument("--rope-theta", type=float, metavar="X", help="where the config's own is in doubt")
