"""`glm4-intel rm NAME`: a model directory's files go, and nothing else."""

import argparse
import sys

from ..errors import Glm4Error
from .models import asked, at_a_terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a model directory, or a name (see: glm4-intel list)")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace) -> int:
    from .model_names import find, remove, require_removable

    path = find(args.name)
    if path is None or not path.is_dir():
        raise Glm4Error(f"There is no model {args.name}", "See what there is: glm4-intel list")
    require_removable(path)
    if not args.yes and not at_a_terminal():
        raise Glm4Error(
            "Nobody is there to ask", f"To remove {path} without being asked: glm4-intel rm {args.name} --yes"
        )
    if not args.yes and not asked(f"Remove {path}?"):
        print("nothing was removed", file=sys.stderr)
        return 1
    left = remove(path)
    but = f", but for what was not its own: {', '.join(map(str, left))}" if left else ""
    print(f"{path} is removed{but}", file=sys.stderr)
    return 0
