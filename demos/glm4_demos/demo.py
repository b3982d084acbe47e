"""`glm4-intel demo`: export the nano model, compress it to int4, and ask it three questions. No network."""

import argparse
import sys
from pathlib import Path

from glm4_intel import __version__, artifact
from glm4_intel.cli import main as glm4_intel_command
from glm4_intel.errors import Glm4Error
from glm4_intel.folders import cache_folder

from .chat import Conversation, print_text, speed

QUESTIONS = (
    "What is 17 + 25?",
    "你好，请介绍一下你自己。",
    "Read the text.\n\nThe code of the garage is 4821. Nobody spoke for a long while. Mira lives in Oslo.\n\n"
    "What is the code of the garage?",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="AUTO", help="CPU, GPU, GPU.1, NPU, or AUTO for the best (default)")


def run(args: argparse.Namespace) -> int:
    folder = cache_folder() / f"nano-int4-{__version__}"
    if not _whole(folder) and (status := glm4_intel_command(["export", "nano", str(folder), "--force"])):
        return status
    import glm4_intel

    conversation = Conversation(glm4_intel.load(folder, args.device), None, {"temperature": 0.0})
    for question in QUESTIONS:
        print(f"\n> {question}")
        conversation.clear()
        reply = conversation.reply(question, print_text)
        print(f"\n{speed(reply, conversation.device)}")
    print(f"\nTalk to it yourself: glm4-intel chat {folder}", file=sys.stderr)
    return 0


def _whole(folder: Path) -> bool:
    """Whether an earlier demo left a whole model directory."""
    try:
        return artifact.read(folder).manifest is not None
    except Glm4Error:
        return False
