"""Nano on a device, beside the CPU: whether it loads, computes the same, and how fast. The report can be sent."""

import getpass
import json
import platform
import re
import socket
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import __version__
from ..backends.openvino_ir import MODEL, next_logits
from ..chat.conversation import Conversation
from ..devices import Machine, properties
from ..errors import Glm4Error
from ..fingerprint import fixed_ids
from ..loading import load
from ..machine.packages import versions
from ..machine.processor import processor
from ..runtime import Runtime
from .models import nano

QUESTIONS = ("What is 17 + 25?", "你好，请介绍一下你自己。", "Count from 1 to 59")
_NEAR = 0.05
"""The largest difference of a logit, as a share of their spread, that other number formats explain."""
_SPEED_TOKENS = 128
Report = dict[str, Any]


def try_device(name: str, report_file: Path) -> Report:
    """Try nano on a device and write what was found, at each step, so that a crash of the driver leaves a report too.

    Raises Glm4Error for a device that is not there, before anything is written.
    """
    machine = Machine()
    device = machine.require(name)
    report = _machine(machine) | {"tried": device.name, "stage": "loading", "verdict": "the process ended"}

    def reached(stage: str, **found: Any) -> None:
        report.update(found, stage=stage)
        report_file.write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    reached("exporting nano")
    folder = nano("npu" if device.kind == "NPU" else "cpu")
    try:
        _try(folder, device.name, device.kind != "NPU", reached)
    except Glm4Error as error:
        reached("ended", verdict="failed", error=without_names(f"{error} {error.hint}"))
    return report


def _try(folder: Path, device: str, has_logits: bool, reached: Callable[..., None]) -> None:
    reached("the CPU's replies")
    with load(folder, "CPU") as reference:
        expected = [_ids(reference, question) for question in QUESTIONS]
    reached(f"loading on {device}")
    started = time.perf_counter()
    with load(folder, device) as runtime:
        reached(f"the replies of {device}", load_seconds=round(time.perf_counter() - started, 2))
        replies = [_ids(runtime, question) for question in QUESTIONS]
        same = sum(mine == theirs for mine, theirs in zip(replies, expected, strict=True))
        reached(f"the speed of {device}", same_replies=f"{same} of {len(QUESTIONS)}")
        reached("logits", **_speed(runtime))
    difference = _difference(folder, device) if has_logits else None
    agrees = same == len(QUESTIONS) or (difference is not None and difference <= _NEAR)
    reached("ended", verdict="agrees" if agrees else "differs",
            logits_difference=None if difference is None else round(difference, 6))  # fmt: skip


def _ids(runtime: Runtime, question: str) -> list[int]:
    chunks = runtime.stream([{"role": "user", "content": question}], temperature=0, max_new_tokens=64)
    return [id for chunk in chunks for id in chunk.token_ids]


def _speed(runtime: Runtime) -> dict[str, float]:
    """Milliseconds to the first token, and tokens a second after it."""
    ids = Conversation.parse([{"role": "user", "content": QUESTIONS[0]}]).render(runtime.tokenizer)
    *_, last = runtime.stream_ids(ids, temperature=0, max_new_tokens=_SPEED_TOKENS, ignore_eos=True)
    assert last.timing
    rate = 1 / last.timing.time_per_token
    return {"first_token_ms": round(last.timing.time_to_first_token * 1e3, 2), "tokens_per_second": round(rate, 1)}


def _difference(folder: Path, device: str) -> float:
    """The largest difference of a logit to the CPU's in full precision, as a share of their spread."""
    import numpy as np
    import openvino

    core = openvino.Core()
    ways = (("CPU", "accurate"), (device, "chat"))
    try:
        models = [core.compile_model(folder / MODEL, name, properties(name, profile)) for name, profile in ways]
        ids = fixed_ids(models[0].output("logits").partial_shape[-1].get_length())
        expected, found = (next_logits(model.create_infer_request(), ids) for model in models)
    except RuntimeError as error:
        raise Glm4Error(f"{device} computes no logits: {str(error).strip().splitlines()[-1]}") from error
    return float(np.abs(expected - found).max() / max(float(np.ptp(expected)), 1e-6))


def _machine(machine: Machine) -> Report:
    """What a reader of the report has to know of the machine; nothing that tells whose it is."""
    from .. import backends

    packages = dict.fromkeys(package for entry in backends.BACKENDS.values() for package in entry.packages)
    return {
        "glm4-intel": __version__,
        "versions": versions(packages),
        "system": without_names(f"{platform.system()} {platform.release()} {platform.machine()}"),
        "processor": asdict(processor()),
        "devices": [asdict(device) for device in machine.devices],
    }


def without_names(text: str) -> str:
    """A text without this machine's folders, and its and its user's names."""
    text = re.sub(r"(?:[A-Za-z]:)?(?:[\\/][^\s:'\"\\/]+){2,}", "PATH", text)
    for private in (socket.gethostname(), _user()):
        text = re.sub(rf"\b{re.escape(private)}\b", "NAME", text) if len(private) > 2 else text
    return text


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""
