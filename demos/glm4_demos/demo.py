"""`glm4-intel demo`: export the nano model, compress it to int4, and ask it three questions. No network."""

import argparse
import sys
from pathlib import Path

from glm4_intel import __version__, agent, model_directory
from glm4_intel.errors import Glm4Error
from glm4_intel.machine.folders import cache_folder

from .dialogue import Dialogue, speed

QUESTIONS = (
    "What is 17 + 25?",
    "你好，请介绍一下你自己。",
    "Read the text.\n\nThe code of the garage is 4821. Nobody spoke for a long while. Mira lives in Oslo.\n\n"
    "What is the code of the garage?",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="AUTO", help="CPU, GPU, GPU.1, NPU, or AUTO for the best (default)")


def run(args: argparse.Namespace) -> int:
    folder = nano_directory()
    import glm4_intel

    runtime = glm4_intel.load(folder, args.device)
    for question in QUESTIONS:
        print(f"\n> {question}")
        dialogue = Dialogue()
        dialogue.ask(question)
        for event in dialogue.reply(runtime, temperature=0):
            print(event.chunk.text if isinstance(event, agent.Wrote) else "", end="", flush=True)
        print(f"\n[{speed(dialogue.turns[-1].figures or {})}]")
    print(f"\nTalk to it yourself: glm4-intel chat {folder}", file=sys.stderr)
    return 0


def nano_directory() -> Path:
    """The nano model's int4 directory in the cache, exported if it is not there. Raises Glm4Error as `make` does."""
    folder = cache_folder() / f"nano-int4-{__version__}"
    if not _whole(folder):
        _export(folder)
    return folder


def _export(folder: Path) -> None:
    from glm4_export.making import MakeOptions, make
    from glm4_export.openvino.maker import OpenVINOMaker
    from glm4_export.progress import making

    with making(folder) as progress:
        make("nano", folder, OpenVINOMaker(), MakeOptions(overwrite=True), progress)


def _whole(folder: Path) -> bool:
    """Whether an earlier demo left a whole model directory."""
    try:
        return model_directory.read(folder).manifest is not None
    except Glm4Error:
        return False
