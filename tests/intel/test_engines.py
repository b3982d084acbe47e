"""The seam to the engines: a backend is a module and a row; a runtime survives what happens around it."""

import gc
import os
import pickle
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import types
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import ask
from glm4_intel import EngineOptions, Glm4Error, Runtime, backends, load, model_directory
from glm4_intel.backends import BackendEntry, LoadOptions, Plan
from glm4_intel.cli import main
from glm4_intel.devices import Footprint, Machine, processor_device
from glm4_intel.fingerprint import Fingerprint, fixed_ids
from glm4_intel.model_directory import ModelDirectory
from scripted import ScriptedBackend, reply_ids

COUNT = ask("Count from 1 to 40.")
GIB = 1 << 30


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A backend of this test's: a module with three functions, and a row."""
    module = types.ModuleType("added_backend")

    def plan(directory: ModelDirectory, options: LoadOptions, machine: Machine) -> Plan:
        return Plan(directory=directory.path, device=processor_device(), context=512, cached_tokens=512,
                    footprint=Footprint(weights=1000), reason="it is a test")  # fmt: skip

    def create(plan: Plan) -> ScriptedBackend:
        return ScriptedBackend([reply_ids("\nHello"), reply_ids("\nHi there")])

    def fingerprint(directory: Path, recipe: Mapping[str, Any], thorough: bool = False) -> Fingerprint:
        return Fingerprint.of(np.arange(100.0), fixed_ids(100), 1, "added")

    vars(module).update(plan=plan, create=create, fingerprint=fingerprint)
    monkeypatch.setitem(sys.modules, "added_backend", module)
    row = BackendEntry("added_backend", "nowhere", (), "weights", "library", ("tag",), "run it")
    monkeypatch.setitem(backends.BACKENDS, "added", row)
    yield "added"


def test_a_backend_is_a_module_and_a_row(
    added: str, nano: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Loader, chat, doctor and verify take it without knowing it."""
    directory = tmp_path / "made-for-it"
    directory.mkdir()
    for file in nano.iterdir():
        if file.name != "glm4.json":
            (directory / file.name).write_bytes(file.read_bytes())
    manifest = model_directory.read(nano).manifest
    assert manifest is not None
    model_directory.write_manifest(directory, replace(manifest, backend=added, verification=None))
    glm = load(directory)
    assert glm.context_length == 512 and glm.device_reason == "it is a test"
    assert glm.generate(ask("x")).text == "Hi there"
    assert main(["chat", str(directory), "--prompt", "x", "--no-warmup"]) == 0
    assert main(["doctor", str(directory)]) == 0
    assert main(["verify", str(directory)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Hello\n") and "on CPU (it is a test), context up to 512 tokens" in printed
    assert "it loads and computes" in printed


def test_plans_and_options_can_be_sent_to_another_process(nano: Path) -> None:
    options = LoadOptions(profile="throughput", engine=EngineOptions(context=512))
    plan = backends.engine("openvino_genai").plan(model_directory.read(nano), options, Machine())
    assert pickle.loads(pickle.dumps((plan, options))) == (plan, options)
    for kind in (LoadOptions, EngineOptions):
        with pytest.raises(TypeError, match="positional"):
            kind("CPU")


def test_a_plan_counts_what_the_engine_is_given(nano: Path) -> None:
    directory, machine = model_directory.read(nano), Machine(free_memory=8 * GIB)
    engine = backends.engine("openvino_genai")
    token = 2 * 8 * 2 * 64 * 2
    alone = engine.plan(directory, LoadOptions(), machine)
    assert alone.cached_tokens == 8 * 2048 and alone.footprint.cache == 8 * 2048 * token
    drafted = engine.plan(directory, LoadOptions(engine=EngineOptions(draft_model=nano)), machine)
    assert drafted.footprint.cache == 2 * alone.footprint.cache
    assert drafted.footprint.draft_model == drafted.footprint.weights > 0
    bare = alone.footprint.total - alone.footprint.cache
    narrow = engine.plan(directory, LoadOptions(), Machine(free_memory=bare + 3000 * token))
    assert narrow.context == 2048 and narrow.cached_tokens == 3000  # no more than there is room for
    with pytest.raises(Glm4Error, match="2,048 tokens of context needs about"):
        engine.plan(directory, LoadOptions(), Machine(free_memory=bare + 2000 * token))


def test_profiles_hold_the_engines_options_too(nano: Path) -> None:
    directory, machine, engine = model_directory.read(nano), Machine(), backends.engine("openvino_genai")

    def planned(profile: str, **options: Any) -> EngineOptions:
        return engine.plan(directory, LoadOptions(profile=profile, engine=EngineOptions(**options)), machine).engine

    assert planned("throughput").continuous_batching and planned("throughput").max_batched_tokens == 256
    assert planned("long-prompt").prompt_lookup and planned("long-prompt").max_batched_tokens == 4096
    assert not planned("long-prompt", draft_model=nano).prompt_lookup
    assert not planned("throughput", draft_model=nano).continuous_batching
    assert planned("chat", continuous_batching=True).max_batched_tokens == 256
    assert planned("throughput", max_batched_tokens=64).max_batched_tokens == 64


@pytest.mark.parametrize("profile", ["chat", "throughput"])
def test_a_closed_model_refuses_and_ends_what_is_being_written(nano: Path, profile: str) -> None:
    glm = load(nano, profile=profile)
    stream = glm.stream(COUNT, temperature=0, ignore_eos=True, max_new_tokens=1900)
    next(stream)
    glm.close()
    glm.close()
    with pytest.raises(Glm4Error, match="The model has been closed"):
        list(stream)
    with pytest.raises(Glm4Error, match="The model has been closed"):
        glm.generate(ask("5 + 6"))


def test_closing_and_forgetting_end_the_engines_thread(nano: Path) -> None:
    before = threading.active_count()
    with load(nano) as glm:
        assert threading.active_count() == before + 1
        assert glm.generate(ask("5 + 6"), temperature=0).text == "5 + 6 = 11"
    assert threading.active_count() == before
    glm = load(nano)
    del glm
    gc.collect()
    assert threading.active_count() == before


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("profile", ["chat", "throughput"])
def test_interrupts_at_any_instant_of_a_replys_start(nano: Path, profile: str) -> None:
    """Ctrl-C within 4 ms of the start of a reply, 300 times here; benchmarks/interrupts.py does it 2,000 times."""
    glm, moments, interrupted = load(nano, profile=profile), random.Random(0), 0

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(300):
            try:
                signal.setitimer(signal.ITIMER_REAL, moments.uniform(1e-5, 4e-3))
                glm.generate(COUNT, temperature=0)
            except KeyboardInterrupt:
                interrupted += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
    started = time.perf_counter()
    assert glm.generate(ask("5 + 6"), temperature=0).text == "5 + 6 = 11"
    assert time.perf_counter() - started < 2 and interrupted > 200


def in_a_process(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("profile", ["chat", "throughput"])
def test_replies_go_on_after_the_main_thread_has_ended(nano: Path, profile: str) -> None:
    code = """
        import sys, threading, glm4_intel
        glm = glm4_intel.load(sys.argv[1], profile=sys.argv[2])
        def work():
            reply = glm.generate([{"role": "user", "content": "Count from 1 to 20."}], temperature=0)
            sys.stdout.write(f"{reply.text} {reply.finish_reason}\\n")  # whole, beside what the others write
        for _ in range(3):
            threading.Thread(target=work).start()
    """
    done = in_a_process(code, nano, profile)
    numbers = ", ".join(map(str, range(1, 21)))
    assert done.stdout == f"{numbers} stop\n" * 3 and done.returncode == 0, done.stderr


def test_a_program_that_ends_in_the_middle_of_a_reply_ends(nano: Path) -> None:
    code = """
        import sys, glm4_intel
        glm = glm4_intel.load(sys.argv[1])
        stream = glm.stream([{"role": "user", "content": "x"}], ignore_eos=True, max_new_tokens=1900)
        next(stream)
    """
    done = in_a_process(code, nano)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_process_is_told(nano: Path) -> None:
    code = """
        import os, sys, glm4_intel
        glm = glm4_intel.load(sys.argv[1])
        if os.fork() == 0:
            try:
                glm.generate([{"role": "user", "content": "x"}])
            except glm4_intel.Glm4Error as error:
                print(error, flush=True)
            os._exit(0)
        os.wait()
        print(glm.generate([{"role": "user", "content": "5 + 6"}], temperature=0).text)
    """
    done = in_a_process(code, nano)
    assert "before this process was forked" in done.stdout and done.stdout.endswith("5 + 6 = 11\n")


def test_a_thread_that_can_not_start_is_told(nano: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(Glm4Error, match="can't start new thread"):
        load(nano, warmup=False)


@pytest.mark.parametrize("profile", ["chat", "throughput"])
@pytest.mark.parametrize("wrong", [ValueError("not a number"), RuntimeError("step failed"), MemoryError()])
def test_what_fails_in_the_engines_thread_is_told_as_what_it_is(
    nano: Path, profile: str, wrong: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    from glm4_intel.backends.genai import batched, paged

    glm = load(nano, profile=profile)

    def failing(*_: object) -> None:
        raise wrong

    with monkeypatch.context() as patched:
        for module in (batched, paged):
            patched.setattr(module, "generation_config", failing)
        said = "out of memory" if isinstance(wrong, MemoryError) else str(wrong)
        with pytest.raises(Glm4Error, match=said):
            glm.generate(ask("5 + 6"))
    assert glm.generate(ask("5 + 6"), temperature=0).text == "5 + 6 = 11"


def test_a_full_cache_mixes_no_replies(nano: Path) -> None:
    """More and longer replies at once than the cache holds: the engine is given those alone that it holds whole."""
    glm = load(nano, profile="throughput", engine=EngineOptions(context=256), warmup=False)
    questions = [
        "Read the text.\n\n" + "Mira lives in Oslo. " * size + "\n\nWhere does Mira live?" for size in (1, 6, 11)
    ]
    right = [glm.generate(ask(question), temperature=0).token_ids for question in questions]
    wrong: list[str] = []

    def work(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(12):
            if draw.random() < 0.5:
                glm.generate(ask("Count from 5 to 300."), temperature=0, ignore_eos=True, max_new_tokens=10**4)
            else:
                index = draw.randrange(len(questions))
                reply = glm.generate(ask(questions[index]), temperature=0)
                if reply.token_ids != right[index]:
                    wrong.append(reply.text)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads) and wrong == []


def test_no_engine_is_named_outside_its_room() -> None:
    root = Path(backends.__file__).parent.parent
    names = ("itrex", "optimum", "genai", "qbits")
    for file in root.rglob("*.py"):
        if backends.__file__ and Path(backends.__file__).parent not in file.parents:
            text = file.read_text(encoding="utf-8").lower()
            assert not any(name in text for name in names), file


def test_a_runtime_is_made_by_keyword() -> None:
    with pytest.raises(TypeError, match="positional"):
        Runtime(None, None, None, 512)  # type: ignore[call-arg, arg-type, misc]


@pytest.mark.parametrize("end", ["glm.close()", "del begun"])
def test_an_engine_that_ends_in_the_midst_of_replies_prints_nothing(nano: Path, end: str) -> None:
    code = (
        "import sys, glm4_intel\n"
        "glm = glm4_intel.load(sys.argv[1], device='CPU', profile='throughput', warmup=False)\n"
        "ask = [{'role': 'user', 'content': 'Count from 1 to 20.'}]\n"
        "begun = [glm.stream(ask, temperature=0) for _ in range(3)]\n"
        "[next(each) for each in begun]\n" + end
    )
    done = in_a_process(code, nano)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
