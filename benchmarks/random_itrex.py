"""A model directory of ITREX's form with a real model's shape and random weights, within minutes: what its speed is of.

python benchmarks/random_itrex.py TEXTS OUT [--group-size 32] [--compute fp32]     # in ITREX's environment

TEXTS is a folder with config.json (GlmForCausalLM's) and the tokenizer's files. Every layer gets the same numbers, in
bytes of its own; they are packed as round-to-nearest packs a checkpoint's.
"""

import argparse
import shutil
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers.models.glm import GlmConfig, GlmForCausalLM

from environment import environment
from glm4_intel.backends.itrex.backend import engine
from glm4_intel.backends.itrex.format import INDEX, PACKED
from glm4_intel.chat.tokenizer import ChatTokenizer
from glm4_intel.model_directory import Manifest, read_json, write_json, write_manifest
from glm4_quantize.itrex.compress import Tensors, head_scheme, packed, recipe_of
from glm4_quantize.itrex.schemes import Scheme

_TEXTS = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_DEVIATION = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--group-size", type=int, default=128)
    parser.add_argument("--compute", default="")
    args = parser.parse_args()
    scheme = Scheme(group_size=args.group_size, compute_dtype=args.compute)
    print(f"{environment()}, {engine()}")
    started = time.perf_counter()
    args.out.mkdir()
    for name in _TEXTS:
        shutil.copyfile(args.texts / name, args.out / name)
    config = read_json(args.out / "config.json")
    _write_weights(config, scheme, args.out)
    _write_manifest(config, scheme, args.out)
    size = sum(file.stat().st_size for file in args.out.glob("*.safetensors"))
    print(f"{args.out}: {size / 1e9:.2f} GB in {time.perf_counter() - started:.0f} s")


def _write_weights(config: dict[str, object], scheme: Scheme, out: Path) -> None:
    with torch.device("meta"):
        model = GlmForCausalLM(GlmConfig(**config))
    layer, names = _random(model.model.layers[0], scheme), {}
    ends = {
        "model.embed_tokens.weight": _drawn(model.model.embed_tokens.weight).bfloat16(),
        "model.norm.weight": torch.ones(model.model.norm.weight.shape),
        "lm_head" + PACKED: packed(_drawn(model.lm_head.weight), head_scheme(scheme)),
    }
    shards = [{f"model.layers.{number}.{name}": tensor for name, tensor in layer.items()}
              for number in range(len(model.model.layers))] + [ends]  # fmt: skip
    for number, tensors in enumerate(shards):
        name = f"model-{number:05}.safetensors"
        save_file(tensors, out / name, {"format": "pt"})
        names |= dict.fromkeys(tensors, name)
    write_json(out / INDEX, {"metadata": {}, "weight_map": names})


def _random(module: torch.nn.Module, scheme: Scheme) -> Tensors:
    """A random tensor for each parameter, packed where it is a linear layer's weight."""
    linear = {f"{name}.weight" for name, each in module.named_modules() if isinstance(each, torch.nn.Linear)}
    tensors = {}
    for name, parameter in module.named_parameters():
        values = torch.ones(parameter.shape) if "norm" in name else _drawn(parameter)
        if name in linear:
            tensors[name.removesuffix(".weight") + PACKED] = packed(values, scheme)
        else:
            tensors[name] = values.bfloat16()
    return tensors


def _drawn(parameter: torch.nn.Parameter) -> torch.Tensor:
    return torch.randn(parameter.shape) * _DEVIATION


def _write_manifest(config: dict[str, object], scheme: Scheme, out: Path) -> None:
    stops = list(ChatTokenizer.from_directory(out).stop_ids)
    context = int(str(config["max_position_embeddings"]))
    recipe = recipe_of(scheme)
    manifest = Manifest("itrex", "random", None, "GlmForCausalLM", recipe, ["CPU"], {}, stops, context, {}, None)
    write_manifest(out, manifest)


if __name__ == "__main__":
    main()
