"""`glm4-intel verify MODEL`: is a model directory what was exported, and does this engine compute the same?"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Glm4Error
from ..model_directory import ModelDirectory, check_hashes, read
from .models import MODEL_HELP, model_path
from .output import print_json


@dataclass(frozen=True)
class VerifyArguments:
    directory: Path
    json: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")


def run(args: argparse.Namespace) -> int:
    options = VerifyArguments(model_path(args.directory), args.json)
    directory = read(options.directory)
    found: dict[str, Any] = {"directory": str(options.directory)}
    if directory.manifest:
        _say(f"hashing {len(directory.manifest.files)} files")
        check_hashes(options.directory, directory.manifest)
        found["files"] = len(directory.manifest.files)
    else:
        _say("no glm4.json: made by another tool, so that its files can't be checked")
    _say("loading it and computing its fingerprint")
    found["fingerprint"] = _compare(directory)
    if options.json:
        print_json(found)
    else:
        print(f"{options.directory} is whole: {found['fingerprint']}")
    return 0


def _compare(directory: ModelDirectory) -> str:
    from ..backends import engine_for
    from ..fingerprint import Fingerprint

    manifest = directory.manifest
    taken = engine_for(directory).fingerprint(directory.path, manifest.recipe if manifest else {}, thorough=True)
    recorded = (manifest.verification or {}).get("fingerprint") if manifest else None
    if recorded is None:
        return "it loads and computes; none was recorded to compare with"
    expected = Fingerprint(**recorded)
    if not expected.agrees(taken):
        raise Glm4Error(
            f"{directory.path} computes other logits than when it was exported: they differ by "
            f"{expected.difference(taken):.1%} of their spread, under {taken.engine} (then {expected.engine})",
            "Make it again, or use the version of the engine that it was made with.",
        )
    return f"the recorded one, within {expected.difference(taken):.1e} of its spread"


def _say(text: str) -> None:
    print(f"{text} …", file=sys.stderr, flush=True)
