"""`glm4-intel list`: the models that are known by name."""

import argparse
from typing import Any

from .output import print_json, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--names", action="store_true", help="print nothing but the names")
    shape.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    from ..machine.folders import models_folder

    models = _models()
    if args.json:
        print_json({"folder": str(models_folder()), "models": models}, indent=2)
    elif args.names:
        print(*(model["name"] for model in models), sep="\n")
    else:
        rows = [[each["name"], f"{each['bytes'] / 1e9:.2f} GB", each["recipe"], each["source"]] for each in models]
        print(*table(["name", "size", "recipe", "made of"], rows), sep="\n")
        print(f"\nin {models_folder()}; nano is installed with glm4-intel")
    return 0


def _models() -> list[dict[str, Any]]:
    """The models as JSON-like data; nano, which is made when it is first used, always."""
    from .model_names import NANO, named_models

    found = [
        {"name": model.name, "directory": str(model.directory.path), "bytes": model.size, "source": model.source,
         "recipe": model.directory.manifest.recipe.get("name", "") if model.directory.manifest else ""}
        for model in named_models()
    ]  # fmt: skip
    if any(model["name"] == NANO for model in found):
        return found
    return [{"name": NANO, "directory": "", "bytes": 0, "source": NANO, "recipe": "cpu"}, *found]
