"""How models are loaded: devices that fail, memory that is short, and the engine's options, each on the real engine."""

import logging
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import openvino
import pytest

from conftest import WEATHER, ask
from glm4_intel import EngineOptions, Glm4Error, Runtime, load, loading
from glm4_intel.chat.conversation import Conversation
from glm4_intel.devices import Device, Machine

THROUGH_CPU = {"NPUW_DEVICES": "CPU", "NPUW_ONLINE_PIPELINE": "NONE"}
COPYING = ask("Repeat exactly: the quick brown fox jumps over the lazy dog, and then the lazy dog sleeps.")


def greedy(glm: Runtime, tokens: int = 48) -> tuple[int, ...]:
    return glm.generate(COPYING, temperature=0, max_new_tokens=tokens, ignore_eos=True).token_ids


def test_auto_falls_back_to_the_cpu_when_a_device_fails(
    nano: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A GPU that is found, but whose driver fails when the model is compiled: here because there is none."""
    absent = Device("GPU", "Arc", integrated=False, memory=1 << 40)
    monkeypatch.setattr(loading, "Machine", lambda: Machine([Device("CPU", "CPU"), absent]))
    with caplog.at_level(logging.WARNING):
        glm = load(nano)
    assert glm.device == "CPU" and glm.device_reason == "GPU failed"
    assert len(caplog.records) == 1 and "the CPU takes its place" in caplog.text
    assert glm.generate(ask("5 + 6"), temperature=0).text == "5 + 6 = 11"


def test_a_device_that_is_asked_for_is_not_replaced(nano: Path) -> None:
    with pytest.raises(Glm4Error, match="There is no device GPU.7"):
        load(nano, "GPU.7")


def test_too_little_memory_is_said_before_anything_is_compiled(nano: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "Machine", lambda: Machine(free_memory=100 << 20))
    with pytest.raises(Glm4Error, match="needs about 0.3 GB of memory on CPU, and 0.1 GB are available"):
        load(nano)
    assert load(nano, ignore_limits=True).context_length == 2048


def test_the_context_can_be_shortened_and_not_lengthened(nano: Path) -> None:
    glm = load(nano, engine=EngineOptions(context=256))
    assert glm.context_length == 256
    with pytest.raises(Glm4Error, match="model's context is 256"):
        glm.generate(ask("red " * 300))
    assert glm.generate(ask("Count from 1 to 59."), temperature=0).usage.completion_tokens > 100
    with pytest.raises(Glm4Error, match="context is 2,048 tokens, not 4,096"):
        load(nano, engine=EngineOptions(context=4096))


def test_a_history_that_outgrows_the_context_is_trimmed_from_its_oldest_exchange(nano: Path) -> None:
    glm = load(nano, engine=EngineOptions(context=256), history="trim")
    messages: list[dict] = []
    for number in range(11, 31):
        messages += [
            *ask(f"What is {number} + 20?"),
            {"role": "assistant", "content": f"{number} + 20 = {number + 20}"},
        ]
    reply = glm.generate([*messages, *ask("What is 31 + 20?")], temperature=0)
    assert reply.usage.truncated_messages > 0 and reply.usage.truncated_messages % 2 == 0
    assert reply.usage.prompt_tokens < 256 and reply.text == "31 + 20 = 51"
    with pytest.raises(Glm4Error, match="model's context is 256"):
        glm.generate(ask("red " * 300))


def test_what_stands_before_the_first_turn_stays() -> None:
    system, *rest = [{"role": "system", "content": "s"}, *ask("1"), {"role": "assistant", "content": "2"}, *ask("3")]
    whole, shortest = Conversation.parse([system, *rest]), Conversation.parse([system, rest[2]])
    assert whole.without_oldest(1) == shortest and len(whole.exchanges) == 2
    assert shortest.without_oldest(0) == shortest and len(shortest.exchanges) == 1


def test_warming_up_tells_its_progress_and_can_be_left_out(nano: Path) -> None:
    stages: list[str] = []
    load(nano, progress=lambda stage, share: stages.append(stage))
    assert stages[0] == "compiling for CPU"
    cold = load(nano, warmup=False).generate(ask("5 + 6"), temperature=0).timing.time_to_first_token
    warm = load(nano).generate(ask("5 + 6"), temperature=0).timing.time_to_first_token
    assert warm < cold


@pytest.mark.parametrize("options", [EngineOptions(prompt_lookup=True), EngineOptions(draft_model=Path("nano"))])
def test_guessing_ahead_changes_no_greedy_reply(nano: Path, options: EngineOptions) -> None:
    if options.draft_model:
        options = EngineOptions(draft_model=nano)
    plain, guessing = load(nano), load(nano, engine=options)
    assert greedy(plain) == greedy(guessing)
    call = guessing.generate(ask("What is the weather in Paris?"), tools=[WEATHER], temperature=0)
    assert (
        call.tool_calls
        == plain.generate(ask("What is the weather in Paris?"), tools=[WEATHER], temperature=0).tool_calls
    )
    choice = {"type": "choice", "choice": ["blue whale", "blue sky"]}
    assert guessing.generate(ask("5 + 6"), response_format=choice, temperature=0).text in choice["choice"]
    if options.draft_model:
        with pytest.raises(Glm4Error, match="can't be both guided and guessed by a draft"):
            guessing.generate(ask("5 + 6"), response_format=choice)
    else:
        assert guessing.generate(ask("5 + 6"), response_format=choice).text in choice["choice"]
    assert guessing.generate(ask("5 + 6"), max_new_tokens=1).usage.completion_tokens == 1


def test_a_draft_must_have_the_same_tokenizer(nano: Path, tmp_path: Path) -> None:
    with pytest.raises(Glm4Error, match="is no model directory to draft with"):
        load(nano, engine=EngineOptions(draft_model=tmp_path))
    other = shutil.copytree(nano, tmp_path / "other")
    (other / "tokenizer.json").write_text("{}")
    with pytest.raises(Glm4Error, match="has another tokenizer"):
        load(nano, engine=EngineOptions(draft_model=other))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": 3}, "context is 3"),
        ({"kv_eviction": 100}, "kv_eviction is 100"),
        ({"prompt_lookup": True, "draft_model": Path("x")}, "can't be used together"),
        ({"continuous_batching": True, "prompt_lookup": True}, "can't be guessed ahead"),
    ],
)
def test_options_that_can_not_be(options: dict, message: str) -> None:
    with pytest.raises(Glm4Error, match=message):
        EngineOptions(**options)


def test_a_backend_refuses_options_that_it_has_not(nano: Path) -> None:
    with pytest.raises(Glm4Error, match="backend optimum has no option draft_model"):
        load(nano, backend="optimum", engine=EngineOptions(draft_model=nano))


def test_eviction_and_sparse_attention_run(nano: Path) -> None:
    for options in (EngineOptions(kv_eviction=512), EngineOptions(sparse_attention=True)):
        glm = load(nano, engine=options)
        assert glm.generate(ask("What is 17 + 25?"), temperature=0).text == "17 + 25 = 42"


def test_replies_at_once_are_those_of_one_after_another(nano: Path) -> None:
    glm, alone = load(nano, profile="throughput"), load(nano)
    questions = [f"What is {number} + {number + 21}?" for number in range(10, 30)]
    replies: dict[str, str] = {}

    def reply(question: str) -> None:
        replies[question] = glm.generate(ask(question), temperature=0).text

    threads = [threading.Thread(target=reply, args=(question,)) for question in questions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert replies == {question: alone.generate(ask(question), temperature=0).text for question in questions}


def test_one_of_several_replies_can_be_cancelled(nano: Path) -> None:
    glm = load(nano, profile="throughput")
    stream = glm.stream(ask("Count from 1 to 59."), temperature=0, max_new_tokens=2000, ignore_eos=True)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert glm.generate(ask("5 + 6"), temperature=0).text == "5 + 6 = 11"


@pytest.fixture(scope="module")
def on_npu(npu_nano: Path) -> Runtime:
    return load(npu_nano, "NPU", properties=THROUGH_CPU, engine=EngineOptions(context=512), history="trim")


def test_the_npu_pipeline_answers_calls_and_guides(on_npu: Runtime) -> None:
    assert on_npu.device == "NPU" and on_npu.context_length == 512 and on_npu.prompt_limit == 384
    assert on_npu.generate(ask("What is 17 + 25?"), temperature=0).text == "17 + 25 = 42"
    reply = on_npu.generate(ask("What is the weather in Paris?"), tools=[WEATHER], temperature=0)
    assert reply.tool_calls[0].arguments == {"city": "Paris"}
    assert on_npu.generate(ask("5 + 6"), temperature=0, max_new_tokens=3).finish_reason == "length"


def test_a_conversation_that_outgrows_the_npu_goes_on(on_npu: Runtime) -> None:
    messages: list[dict] = []
    truncated_messages = 0
    for number in range(11, 41):
        messages += ask(f"What is {number} + 20?")
        reply = on_npu.generate(messages, temperature=0)
        assert reply.text == f"{number} + 20 = {number + 20}" and reply.usage.prompt_tokens <= 384
        messages.append(reply.message())
        truncated_messages = reply.usage.truncated_messages
    assert truncated_messages > 0


def test_a_prompt_longer_than_the_npu_takes_is_refused(npu_nano: Path, on_npu: Runtime) -> None:
    with pytest.raises(Glm4Error, match="context is 512, of which 384 are for the prompt"):
        on_npu.generate(ask("red " * 450))


def test_a_reply_fills_the_npu_context_and_ends(on_npu: Runtime) -> None:
    reply = on_npu.generate(COPYING, temperature=0, max_new_tokens=5000, ignore_eos=True)
    assert reply.finish_reason == "length" and reply.usage.prompt_tokens + reply.usage.completion_tokens == 512


def test_a_reply_on_the_npu_can_be_cancelled(on_npu: Runtime) -> None:
    stop = threading.Event()
    for index, _ in enumerate(on_npu.stream(COPYING, cancel=stop, temperature=0, ignore_eos=True)):
        if index == 2:
            stop.set()
    assert on_npu.generate(ask("5 + 6"), temperature=0).text == "5 + 6 = 11"


def test_a_model_that_was_not_made_for_the_npu_is_refused(nano: Path) -> None:
    with pytest.raises(Glm4Error, match="made by the recipe cpu, which an NPU can't run"):
        load(nano, "NPU", properties=THROUGH_CPU)
    with pytest.raises(Glm4Error, match="There is no device NPU"):
        load(nano, "NPU")


def test_a_compiled_model_is_kept_in_a_blob_and_taken_from_it(npu_nano: Path, tmp_path: Path) -> None:
    blob = tmp_path / "nano.blob"
    for _ in range(2):
        glm = load(npu_nano, "NPU", properties=THROUGH_CPU, engine=EngineOptions(context=256, blob=blob))
        assert glm.generate(ask("5 + 6"), temperature=0).text == "5 + 6 = 11"
        assert blob.stat().st_size > 0
    with pytest.raises(Glm4Error, match="compiled for another prompt"):
        load(npu_nano, "NPU", properties=THROUGH_CPU, engine=EngineOptions(context=512, blob=blob))


def in_a_process(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "glm4_intel.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def test_a_plugin_that_vanishes_is_told_without_a_traceback(nano: Path, tmp_path: Path) -> None:
    """OpenVINO's package without the library of its CPU plugin."""
    package = Path(openvino.__file__).parent
    shutil.copytree(package, tmp_path / "openvino", ignore=shutil.ignore_patterns("libopenvino_intel_[cg]pu*", "docs"))
    done = in_a_process(["doctor"], PYTHONPATH=str(tmp_path))
    assert done.returncode == 0 and "OpenVINO's CPU plugin does not load" in done.stdout
    done = in_a_process(["chat", str(nano), "--prompt", "5 + 6"], PYTHONPATH=str(tmp_path))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "no device" in done.stderr and "hint:" in done.stderr


@pytest.fixture
def small_group() -> object:
    """A real control group of version 1 with one core and 2 GB; only root can make one."""
    folders = [Path("/sys/fs/cgroup") / controller / f"glm4-test-{os.getpid()}" for controller in ("cpu", "memory")]
    try:
        for folder in folders:
            folder.mkdir()
        (folders[0] / "cpu.cfs_quota_us").write_text("100000")
        (folders[1] / "memory.limit_in_bytes").write_text(str(2 << 30))
    except OSError as error:
        pytest.skip(f"control groups can't be made here: {error}")
    yield folders
    for folder in folders:
        folder.rmdir()


def test_a_control_group_of_one_core_and_two_gigabytes(nano: Path, small_group: list[Path]) -> None:
    join = "; ".join(f"echo $$ > {folder}/cgroup.procs" for folder in small_group)
    command = f"{join}; exec {sys.executable} -m glm4_intel.cli"
    doctor = subprocess.run(["sh", "-c", f"{command} doctor"], capture_output=True, text=True, timeout=120)
    assert "a control group grants 1 cores of processor time" in doctor.stdout and "of 2.1" in doctor.stdout
    chat = subprocess.run(
        ["sh", "-c", f"{command} chat {nano} --prompt '5 + 6' --temperature 0"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert chat.stdout == "5 + 6 = 11\n"
