"""Discovery, drivers, properties and the choice of a device, on this machine and on trees that look like others."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from glm4_intel import Glm4Error, devices, model_directory
from glm4_intel.devices import (
    Device,
    Footprint,
    Machine,
    choose,
    discover,
    footprint,
    parse_properties,
    portable_properties,
    properties,
)
from glm4_intel.devices.drivers import missing_drivers
from glm4_intel.devices.profiles import PROFILES, known_properties, settings
from glm4_intel.machine import cores, memory
from glm4_intel.machine.processor import processor

GIB = 1 << 30
CPU = Device("CPU", "Some CPU", memory=32 * GIB)
ARC = Device("GPU.1", "Arc B580", integrated=False, memory=12 * GIB, capabilities=("FP16", "GPU_HW_MATMUL"))
UHD = Device("GPU.0", "UHD 770", memory=16 * GIB, execution_units=32)
NPU = Device("NPU", "AI Boost")


def test_this_machine_has_a_cpu_that_is_told_about() -> None:
    found = {device.name: device for device in discover()}
    assert found["CPU"].full_name and found["CPU"].description == "CPU" and "FP32" in found["CPU"].capabilities
    assert 0 < (found["CPU"].memory or 0) == memory.total_memory()


def test_auto_takes_the_fastest_device_that_the_model_fits(nano: Path) -> None:
    model = model_directory.read(nano)
    assert choose(model, Machine([CPU])).device == CPU
    assert choose(model, Machine([CPU, UHD, ARC, NPU])).device == ARC
    choice = choose(model, Machine([CPU, UHD, NPU]))
    assert choice.device == CPU and "too few execution units" in choice.reason and "not made for it" in choice.reason
    small = replace(ARC, memory=GIB // 8)
    assert (
        choose(model, Machine([CPU, small])).device == CPU and "no room" in choose(model, Machine([CPU, small])).reason
    )
    with pytest.raises(Glm4Error, match="no device, not even the CPU"):
        choose(model, Machine([]))


def test_auto_takes_the_npu_for_a_model_that_was_made_for_it(npu_nano: Path) -> None:
    assert choose(model_directory.read(npu_nano), Machine([CPU, ARC, NPU])).device == NPU
    assert choose(model_directory.read(npu_nano), Machine([CPU, ARC])).device == ARC


def test_memory_grows_with_the_context(nano: Path) -> None:
    model = model_directory.read(nano)
    token = 2 * 8 * 2 * 64 * 2  # keys and values, layers, KV heads, values a head, bytes
    assert footprint.kv_token_bytes(model.config) == token
    assert footprint.memory_needed(model, 1000) - footprint.memory_needed(model, 0) == 1000 * token
    room, bare = footprint.memory_needed(model, 500), Footprint(weights=footprint.weights_bytes(nano))

    def longest(room: int, asked: int | None = None) -> int:
        return footprint.context_that_fits(model, asked, bare, token, room, "CPU")

    assert longest(room, 500) == 500
    with pytest.raises(Glm4Error, match="501 tokens of context needs"):
        longest(room, 501)
    with pytest.raises(Glm4Error, match="0.0 GB are available"):
        longest(GIB // 100)
    assert longest(64 * GIB) == model.context_length


def test_a_config_without_the_size_of_a_head_has_the_same_footprint(nano: Path) -> None:
    config = model_directory.read(nano).config
    without = {name: value for name, value in config.items() if name != "head_dim"}
    assert footprint.layer_weights(without) == footprint.layer_weights(config)
    assert footprint.in_two_ways(without, ["*.mlp.*"]) == footprint.in_two_ways(config, ["*.mlp.*"])


@pytest.mark.parametrize("profile", PROFILES)
def test_the_plugin_knows_every_property_of_the_table(profile: str) -> None:
    given = properties("CPU", profile)
    assert set(given) <= set(known_properties("CPU"))
    assert all(setting.reason for setting in settings("CPU", profile))


def test_the_gpu_plugin_knows_every_property_of_the_table() -> None:
    known = known_properties("GPU")
    if not known:
        pytest.skip("OpenVINO's GPU plugin needs libOpenCL.so.1")
    for profile in PROFILES:
        assert set(properties("GPU", profile)) <= set(known)


def test_the_npu_plugin_knows_every_property_of_the_table() -> None:
    for profile in ("chat", "long-prompt"):
        assert set(properties("NPU", profile)) <= set(known_properties("NPU"))


def test_properties_from_the_command_line() -> None:
    assert parse_properties(["NUM_STREAMS=1", "A=b=c"]) == {"NUM_STREAMS": "1", "A": "b=c"}
    with pytest.raises(Glm4Error, match="not of the form KEY=VALUE"):
        parse_properties(["NUM_STREAMS"])
    with pytest.raises(Glm4Error, match="no property NUM_STREAM") as caught:
        devices.check_properties("CPU", {"NUM_STREAM": 1})
    assert caught.value.hint == "Did you mean NUM_STREAMS?"
    with pytest.raises(Glm4Error, match="no profile 'fast' for CPU"):
        properties("CPU", "fast")


def machine(root: Path, *pci: tuple[str, str], system: str = 'ID=ubuntu\nID_LIKE="debian"\n') -> Path:
    """A tree with PCI devices (vendor, class), as /sys has them."""
    for number, (vendor, kind) in enumerate(pci):
        folder = root / f"sys/bus/pci/devices/0000:00:{number:02x}.0"
        folder.mkdir(parents=True)
        (folder / "vendor").write_text(f"{vendor}\n")
        (folder / "class").write_text(f"{kind}\n")
    for folder in ("etc", "proc", "dev/dri", "dev/accel", "usr/lib/x86_64-linux-gnu"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "etc/os-release").write_text(system)
    (root / "proc/version").write_text("Linux version 6.8.0\n")
    return root


def test_a_machine_without_intel_accelerators_lacks_nothing(tmp_path: Path) -> None:
    assert missing_drivers({"CPU"}, machine(tmp_path, ("0x10de", "0x030000"))) == []


def test_a_gpu_without_its_runtime_is_told_what_to_install(tmp_path: Path) -> None:
    root = machine(tmp_path, ("0x8086", "0x030000"))
    (root / "dev/dri/renderD128").touch()
    remedies = {lack.remedy for lack in missing_drivers({"CPU"}, root)}
    assert remedies == {
        "sudo apt install ocl-icd-libopencl1",
        "sudo apt install intel-opencl-icd",
        "sudo apt install libze1",
    }
    assert missing_drivers({"CPU", "GPU"}, root) == []


def test_each_distribution_has_its_own_command(tmp_path: Path) -> None:
    for name, tool in (("fedora", "dnf"), ("arch", "pacman"), ("opensuse-tumbleweed", "zypper"), ("slackware", "See ")):
        like = 'ID_LIKE="opensuse suse"\n' if name.startswith("opensuse") else ""
        root = machine(tmp_path / name, ("0x8086", "0x038000"), system=f"ID={name}\n{like}")
        assert any(tool in lack.remedy for lack in missing_drivers({"CPU"}, root)), name


def test_a_gpu_without_kernel_driver_or_in_a_container(tmp_path: Path) -> None:
    root = machine(tmp_path, ("0x8086", "0x030000"))
    assert missing_drivers({"CPU"}, root)[0].problem == "it has no driver in the kernel"
    (root / ".dockerenv").touch()
    assert "docker run --device /dev/dri" in missing_drivers({"CPU"}, root)[0].remedy


def test_an_npu_without_its_driver(tmp_path: Path) -> None:
    root = machine(tmp_path, ("0x8086", "0x120000"))
    (root / "dev/accel/accel0").touch()
    (root / "usr/lib/x86_64-linux-gnu/libze_loader.so.1").touch()
    lacking = missing_drivers({"CPU"}, root)
    assert [(lack.device, lack.remedy) for lack in lacking] == [("NPU", "sudo snap install intel-npu-driver")]


def test_wsl_is_told_about_windows(tmp_path: Path) -> None:
    root = machine(tmp_path)
    (root / "proc/version").write_text("Linux version 6.6 (Microsoft@Microsoft.com) WSL2\n")
    assert "WSL does not pass the GPU on" in missing_drivers({"CPU"}, root)[0].problem
    (root / "dev/dxg").touch()
    assert missing_drivers({"CPU"}, root)[0].remedy == "sudo apt install ocl-icd-libopencl1"


def test_a_hybrid_processor(tmp_path: Path) -> None:
    for name, text in (("sys/devices/cpu_core/cpus", "0-11\n"), ("sys/devices/cpu_atom/cpus", "12-19,21\n")):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    for node in ("node0", "node1"):
        (tmp_path / "sys/devices/system/node" / node).mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    info = "model name\t: Core Ultra 7\nflags\t\t: sse avx2 avx_vnni\n\nmodel name\t: other\n"
    (tmp_path / "proc/cpuinfo").write_text(info)
    found = processor(tmp_path)
    assert (found.performance_cores, found.efficient_cores, found.numa_nodes) == (12, 9, 2)
    assert found.name == "Core Ultra 7" and found.instruction_sets == ("AVX2", "AVX-VNNI")


def test_amx_reads_long_prompts_in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    from glm4_intel.devices import profiles

    monkeypatch.setattr(profiles, "instruction_sets", lambda: ("AVX2", "AMX-BF16"))
    assert properties("CPU", "long-prompt")["INFERENCE_PRECISION_HINT"] == "bf16"
    assert properties("CPU", "chat")["INFERENCE_PRECISION_HINT"] == "f32"
    monkeypatch.setattr(profiles, "instruction_sets", lambda: ("AVX2",))
    assert properties("CPU", "long-prompt")["INFERENCE_PRECISION_HINT"] == "f32"


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.cfs_quota_us": "100000", "cpu.cfs_period_us": "100000"}, 1.0),
        ({"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}, None),
    ],
)
def test_the_processor_time_that_a_container_grants(
    files: dict[str, str], quota: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text + "\n")
    monkeypatch.setattr(cores, "folders", lambda controller: [tmp_path])
    assert cores.core_quota() == quota
    if quota and cores.scheduled_cores() > 1:
        assert cores.usable_cores() == 1
        assert properties("CPU")["INFERENCE_NUM_THREADS"] == "1"
        assert "INFERENCE_NUM_THREADS" not in portable_properties("CPU")


def test_doctor_judges_model_directories(nano: Path, tmp_path: Path) -> None:
    from glm4_intel.commands.doctor import examine

    report = json.loads(json.dumps(examine([nano, tmp_path / "none"])))
    assert report["devices"][0]["name"] == "CPU" and report["processor"]["instruction_sets"]
    whole, none = report["models"]
    assert whole["runs"] and whole["longest_context"] == 2048 and whole["device"]
    assert not none["runs"] and "There is no model directory" in none["problem"]


@pytest.mark.gpu
def test_a_reply_on_the_gpu(nano: Path) -> None:
    from glm4_intel import load

    if not any(device.kind == "GPU" for device in discover()):
        pytest.skip("OpenVINO finds no GPU on this machine")
    reply = load(nano, "GPU").generate([{"role": "user", "content": "What is 17 + 25?"}], temperature=0)
    assert "42" in reply.text


@pytest.mark.npu
def test_a_reply_on_the_npu(npu_nano: Path) -> None:
    from glm4_intel import load

    if not any(device.kind == "NPU" for device in discover()):
        pytest.skip("OpenVINO finds no NPU on this machine")
    reply = load(npu_nano, "NPU").generate([{"role": "user", "content": "What is 17 + 25?"}], temperature=0)
    assert "42" in reply.text
