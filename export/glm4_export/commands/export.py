"""`glm4-intel export SOURCE OUT`."""

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from glm4_intel.errors import Glm4Error
from glm4_intel.model_directory import read_manifest
from glm4_quantize.recipes import METHODS, RECIPES, Backup, Mode, Recipe, Sensitivity, recipe_named

from ..making import make
from ..progress import Progress, making
from .arguments import add_checkpoint_arguments, dry_run, make_options


class _ListRecipes(argparse.Action):
    """Like --help: prints and leaves, whatever else is missing."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        width = max(map(len, RECIPES)) + 2
        for recipe in RECIPES.values():
            about = f"[{', '.join(recipe.targets)}] {recipe.reason}{' Needs data.' if recipe.needs_data else ''}"
            lines = textwrap.wrap(about, 120 - width)
            print(f"{recipe.name:{width}}{lines[0]}", *(" " * width + line for line in lines[1:]), sep="\n")
        parser.exit()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_checkpoint_arguments(parser)
    parser.add_argument("--check", nargs="?", type=Path, const=Path(), metavar="TEXT",
                        help="compare with the uncompressed model over a text file, or a built-in text")  # fmt: skip
    parser.add_argument("--for-model-server", action="store_true", help="add what OpenVINO Model Server reads")
    parser.add_argument("--push-to-hub", metavar="OWNER/NAME", help="upload OUT when it is done")
    recipe = parser.add_argument_group("compression")
    recipe.add_argument("--recipe", default="cpu", metavar="NAME", help="where to begin (default cpu)")
    recipe.add_argument("--list-recipes", nargs=0, action=_ListRecipes, help="say what each is for, and leave")
    recipe.add_argument("--calibration", type=Path, metavar="FILE", help="text, or JSONL of messages, for data methods")
    recipe.add_argument("--mode", choices=get_args(Mode), metavar="MODE", help=", ".join(get_args(Mode)))
    recipe.add_argument("--group-size", type=int, metavar="N", help="inputs that share a scale; -1 for a whole row")
    recipe.add_argument("--ratio", type=float, metavar="R", help="share of the layers that gets int4")
    recipe.add_argument("--backup", choices=get_args(Backup), help="for the embedding, lm_head and the other layers")
    recipe.add_argument("--lm-head", choices=("backup", "mode"), help="what lm_head gets")
    recipe.add_argument("--sensitivity", choices=get_args(Sensitivity), metavar="METRIC",
                        help=f"what chooses the layers to spare: {', '.join(get_args(Sensitivity))}")  # fmt: skip
    recipe.add_argument("--int8-prefill", action=argparse.BooleanOptionalAction, default=None,
                        help="a second way for prompts, on the CPU: int8 weights beside the int4 ones")  # fmt: skip
    recipe.add_argument("--int8-prefill-except", type=_patterns, metavar="NAMES",
                        help="products that stay in int4 alone: layers.3.mlp.down_proj,layers.*.o_proj")  # fmt: skip
    recipe.add_argument("--int8-prefill-smoothing", action=argparse.BooleanOptionalAction, default=None,
                        help="move outliers of activations into the int8 weights, by calibration samples")  # fmt: skip
    recipe.add_argument("--bf16-attention", action=argparse.BooleanOptionalAction, default=None,
                        help="attention in bf16 beside products in int4 and int8, on the CPU")  # fmt: skip
    for method in METHODS:
        name = f"--{method.replace('_', '-')}"
        recipe.add_argument(name, action=argparse.BooleanOptionalAction, default=None, help=f"NNCF's {method}")


def _patterns(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def run(args: argparse.Namespace) -> int:
    from ..openvino.maker import OpenVINOMaker

    maker = OpenVINOMaker(
        recipe=_recipe(args),
        calibration=args.calibration,
        check=args.check is not None,
        check_text=None if args.check == Path() else args.check,
        model_server=args.for_model_server,
    )
    if args.push_to_hub:
        from ..directory.hub import require_login

        require_login(args.push_to_hub)
    if args.dry_run:
        return dry_run(args, maker)
    with making(args.out) as progress:
        make(args.source, args.out, maker, make_options(args), progress)
        if args.push_to_hub:
            _push(args.out, args.push_to_hub, progress)
    if maker.check:
        print(*_checked(args.out), sep="\n")
    return 0


def _push(out: Path, repository: str, progress: Progress) -> None:
    from ..directory.hub import push

    progress.stage(f"uploading to {repository}", shown=True)
    push(out, repository)


def _checked(out: Path) -> list[str]:
    """What `--check` has found, in a line; with a second way for prompts, in one for each and what its products err."""
    manifest = read_manifest(out)
    found = (manifest.verification or {}) if manifest else {}
    lines = [_fidelity(found["fidelity"])]
    if "fidelity_int8_prefill" in found:
        from ..openvino.int8_products import told

        lines += [f"prompts in int8: {_fidelity(found['fidelity_int8_prefill'])}", *told(found["int8_prefill_errors"])]
    return lines


def _fidelity(found: dict[str, Any]) -> str:
    return (
        f"over {found['tokens']} tokens: {found['agreement']:.1%} agree, "
        f"KL divergence {found['kl_divergence']:.4f} nats, "
        f"perplexity {found['perplexity']:.2f} (uncompressed: {found['original_perplexity']:.2f})"
    )


def _recipe(args: argparse.Namespace) -> Recipe:
    names: Sequence[str] = ("mode", "group_size", "ratio", "backup", "lm_head", "sensitivity", "int8_prefill",
                            "int8_prefill_except", "int8_prefill_smoothing", "bf16_attention", *METHODS)  # fmt: skip
    changes = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    recipe = recipe_named(args.recipe).with_overrides(**changes)
    if args.calibration and not recipe.reads_samples:
        if recipe.methods:
            return recipe.with_overrides(calibrated=True)
        raise Glm4Error(f"The recipe {recipe.name} uses no calibration data", "Leave --calibration out, or add --awq.")
    return recipe
