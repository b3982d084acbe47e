"""What ITREX's schemes cost in fidelity: KL divergence to the unquantized checkpoint, size and time, for each.

python benchmarks/itrex_schemes.py                        # the nano model, in ITREX's environment
python benchmarks/itrex_schemes.py CHECKPOINT             # another checkpoint, which must fit into memory twice
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch

from environment import environment
from glm4_export.checkpoint.source import resolve
from glm4_export.checkpoint.weights import load
from glm4_export.itrex.maker import ITREXMaker
from glm4_export.making import make
from glm4_export.openvino.fidelity_text import text_ids
from glm4_intel.backends.itrex.backend import engine
from glm4_intel.backends.itrex.format import load_model
from glm4_intel.chat.tokenizer import ChatTokenizer
from glm4_quantize.itrex.schemes import Scheme

_WINDOW = 256
_SCHEMES = (
    Scheme("rtn", "int8", 32),
    Scheme("rtn", "int8", 32, compute_dtype="fp32"),
    Scheme("rtn", "int4_clip", 32),
    Scheme("rtn", "int4_clip", 32, compute_dtype="fp32"),
    Scheme("rtn", "int4_clip", 32, scale_dtype="bf16"),
    Scheme("rtn", "int4_clip", 32, symmetric=False),
    Scheme("rtn", "int4_clip", 128),
    Scheme("rtn", "int4_clip", -1),
    Scheme("rtn", "nf4", 32),
    Scheme("rtn", "fp4_e2m1", 32),
    Scheme("gptq", "int4_clip", 32),
    Scheme("gptq", "nf4", 32),
    Scheme("awq", "int4_clip", 32),
    Scheme("autoround", "int4_clip", 32),
    Scheme("teq", "int4_clip", 32),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", default="nano")
    args = parser.parse_args()
    print(f"{environment()}, {engine()}\n")
    model, files = load(resolve(args.checkpoint))
    files.close()
    model = model.float()
    print("| method | weights | groups | scales | computed in | KL, nats a token | same likeliest | MB | s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for scheme in _SCHEMES:
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            directory = make(args.checkpoint, Path(folder) / "out", ITREXMaker(scheme=scheme))
            seconds = time.perf_counter() - started
            divergence, same = _compare(model, directory)
            size = sum(file.stat().st_size for file in directory.glob("*.safetensors")) / 1e6
        weights = scheme.weight_dtype if scheme.symmetric else f"{scheme.weight_dtype}, asymmetric"
        group = "row" if scheme.group_size == -1 else scheme.group_size
        print(
            f"| {scheme.method} | {weights} | {group} | {scheme.scale_dtype} | {scheme.compute_dtype} "
            f"| {divergence:.4f} | {same:.1%} | {size:.1f} | {seconds:.0f} |",
            flush=True,
        )


@torch.inference_mode()
def _compare(model: torch.nn.Module, directory: Path) -> tuple[float, float]:
    """Mean KL divergence in nats a token, and how often the likeliest token is the same."""
    quantized, ids = load_model(directory), text_ids(ChatTokenizer.from_directory(directory), None)
    divergence, same, count = 0.0, 0, 0
    for start in range(0, len(ids) - 1, _WINDOW):
        piece = torch.tensor([ids[start : start + _WINDOW]])
        theirs, ours = (each(piece).logits[0].float().log_softmax(-1) for each in (model, quantized))
        divergence += float((theirs.exp() * (theirs - ours)).sum())
        same += int((theirs.argmax(-1) == ours.argmax(-1)).sum())
        count += piece.shape[1]
    return divergence / count, same / count


if __name__ == "__main__":
    main()
