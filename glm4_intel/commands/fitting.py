"""Does GLM-4-9B fit on this machine, and how fast will it be: an estimate, before anything is fetched."""

import shutil
from typing import Any

from ..devices import Device, Machine, processor_device, reference_model
from ..machine.bandwidth import read_bandwidth
from ..machine.folders import models_folder


def judge_fit(machine: Machine) -> dict[str, Any]:
    """What GLM-4-9B needs at int4 and what there is, as JSON-like data: bytes, bytes a second, tokens a second."""
    needed, bandwidth = reference_model.needed().total, read_bandwidth()
    folder = next(each for each in (models_folder(), *models_folder().absolute().parents) if each.is_dir())
    devices = machine.devices or (processor_device(),)
    return {
        "weights": reference_model.WEIGHTS,
        "memory": needed,
        "download": reference_model.DOWNLOAD,
        "disk_free": shutil.disk_usage(folder).free,
        "devices": [_on(device, machine.room_on(device), needed) for device in devices],
        "bandwidth": bandwidth,
        "bytes_per_token": reference_model.bytes_per_token(),
        "tokens_per_second": reference_model.tokens_per_second(bandwidth),
    }


def _on(device: Device, room: int, needed: int) -> dict[str, Any]:
    return {"device": device.name, "kind": device.kind, "room": room, "fits": room >= needed}


def fit_lines(found: dict[str, Any]) -> list[str]:
    """The same for people."""
    slowest, fastest = found["tokens_per_second"]
    lines = [f"GLM-4-9B at int4 takes {_gb(found['memory'])} of memory with 4,096 tokens of context."]
    for each in found["devices"]:
        verdict = "it fits" if each["fits"] else "it does NOT fit"
        lines.append(f"{each['device']:8}{verdict}: {_gb(each['room'])} are free")
        if each["kind"] == "CPU":
            lines.append(
                f"        estimated {slowest:.2g} to {fastest:.2g} tokens a second: memory gives "
                f"{found['bandwidth'] / 1e9:.0f} GB/s now, and each token reads {_gb(found['bytes_per_token'])}"
            )
    takes = f"it takes {_gb(found['weights'])}, and the checkpoint that is fetched {_gb(found['download'])}"
    return [*lines, f"disk    {_gb(found['disk_free'])} free; {takes}"]


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
