"""`glm4-intel demo`: export the nano model, compress it to int4, and ask it three questions. No network."""

import argparse
import sys

from glm4_intel import agent
from glm4_intel.commands.model_names import NANO
from glm4_intel.commands.models import nano

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
    folder = nano()
    import glm4_intel

    runtime = glm4_intel.load(folder, args.device)
    for question in QUESTIONS:
        print(f"\n> {question}")
        dialogue = Dialogue()
        dialogue.ask(question)
        for event in dialogue.reply(runtime, temperature=0):
            print(event.chunk.text if isinstance(event, agent.Wrote) else "", end="", flush=True)
        print(f"\n[{speed(dialogue.turns[-1].figures or {})}]")
    print(f"\nTalk to it yourself: glm4-intel chat {NANO}", file=sys.stderr)
    return 0
