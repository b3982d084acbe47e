"""The options of a command that talks to a server instead of loading a model."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..serving.exchange import Server

KEY = "GLM4_API_KEY"


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", metavar="URL",
                        help="talk to a server that is running, glm4-intel's or another of OpenAI's API")  # fmt: skip
    parser.add_argument("--served", metavar="NAME", help="the server's model of that name (default: its first)")
    parser.add_argument("--api-key-file", metavar="FILE", type=Path,
                        help=f"the server's key is its first line (default: ${KEY})")  # fmt: skip


def asked_server(args: argparse.Namespace) -> "Server | None":
    """The server that is asked for. Raises Glm4Error for what is no address, and for a key that can't be read."""
    if args.server is None:
        return None
    from ..serving.exchange import Server
    from ..serving.keys import read_secrets

    key = os.environ.get(KEY, "")
    if args.api_key_file:
        told = read_secrets(args.api_key_file, "--api-key-file")
        key = told[0][1] if told else ""
    return Server(args.server, key)
