"""`glm4-intel serve [MODEL]`: an API server that OpenAI's, Anthropic's and Ollama's clients speak to."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .model_arguments import add_model_arguments, load_options
from .model_names import NANO
from .models import MODEL_HELP, model_path
from .status_line import StatusLine

if TYPE_CHECKING:
    from ..serving.settings import ReplicaSettings, ServerSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", metavar="MODEL", nargs="*", type=Path,
                        help=f"{MODEL_HELP}; several are served by name (default: nano)")  # fmt: skip
    parser.add_argument("--name", action="append", default=[], help="what clients call a model; may be given again")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default 8000)")
    parser.add_argument("--api-key-file", metavar="FILE", type=Path, help="ask for one of its keys, a line each")
    parser.add_argument("--no-auth", action="store_true", help="let other machines in without a key")
    parser.add_argument("--allowed-host", metavar="NAME[:PORT]", action="append", default=[],
                        help="another name of the server, such as its proxy's; may be given again")  # fmt: skip
    parser.add_argument("--cors", metavar="ORIGIN", action="append", default=[],
                        help="a site whose pages may ask, such as https://chat.example.org")  # fmt: skip
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"), type=Path, help="serve HTTPS with these PEM files")
    parser.add_argument("--queue", type=int, default=64, metavar="N", help="replies that may wait (default 64)")
    parser.add_argument("--max-body", type=int, default=32, metavar="MB", help="largest request (default 32 MB)")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="most new tokens of a reply")
    parser.add_argument("--patience", type=float, default=120.0, metavar="S",
                        help="seconds of an engine's silence after which it is loaded again (default 120)")  # fmt: skip
    parser.add_argument("--drain", type=float, default=60.0, metavar="S",
                        help="seconds that replies have to end when the server is stopped (default 60)")  # fmt: skip
    parser.add_argument("--replicas", type=int, metavar="N", help="replicas of the engine on Ray, one a NUMA node")
    parser.add_argument("--ray", metavar="ADDRESS", help="their Ray cluster, such as auto (default: one of this "
                        "machine, which ends with the server)")  # fmt: skip
    parser.add_argument("--scoring", action="store_true",
                        help="answer /v1/completions with echo and logprobs, as lm-eval asks; takes the model's memory "
                             "a second time")  # fmt: skip
    add_model_arguments(parser)
    parser.set_defaults(profile="throughput", history="refuse")


def run(args: argparse.Namespace) -> int:
    settings = _settings(args)
    from ..serving.server import serve

    line, models = StatusLine(), settings.models or (NANO,)
    settings = replace(settings, models=tuple(model_path(str(each), args.device) for each in models))
    serve(settings, line.show if line.live else lambda stage, share: None)
    return 0


def _settings(args: argparse.Namespace) -> "ServerSettings":
    from ..serving.settings import ServerSettings

    return ServerSettings(
        models=tuple(args.models),
        load=load_options(args),
        names=tuple(args.name),
        host=args.host,
        port=args.port,
        api_key_file=args.api_key_file,
        no_auth=args.no_auth,
        allowed_hosts=tuple(args.allowed_host),
        cors=tuple(args.cors),
        tls=tuple(args.tls) if args.tls else None,
        queue=args.queue,
        max_body=args.max_body,
        max_tokens=args.max_tokens,
        patience=args.patience,
        drain=args.drain,
        replicas=_replicas(args),
        scoring=args.scoring,
    )


def _replicas(args: argparse.Namespace) -> "ReplicaSettings | None":
    from ..serving.settings import ReplicaSettings

    if args.replicas is None and args.ray is None:
        return None
    return ReplicaSettings(count=1 if args.replicas is None else args.replicas, ray=args.ray)
