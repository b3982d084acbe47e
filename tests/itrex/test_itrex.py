"""ITREX's path for real, in its own environment: `pytest -m itrex tests/itrex` there (quantize/README.md)."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

pytestmark = pytest.mark.itrex
if importlib.util.find_spec("intel_extension_for_transformers") is None:
    pytest.skip("needs the environment of quantize/requirements-itrex.txt", allow_module_level=True)

import torch
from transformers import GlmForCausalLM

from conftest import ask
from forms import as_chatglm, change_tensors, random_checkpoint
from glm4_demos.nano import CHECKPOINT
from glm4_demos.nano.curriculum import SKILLS
from glm4_demos.nano.measure import measure
from glm4_demos.nano.skills import draw
from glm4_export.checkpoint.source import resolve
from glm4_export.checkpoint.weights import load as load_weights
from glm4_export.itrex.maker import ITREXMaker
from glm4_export.making import make
from glm4_intel import Glm4Error, Runtime, load
from glm4_intel.backends.itrex import backend as itrex
from glm4_intel.backends.itrex import format as packing
from glm4_intel.chat.tokenizer import ChatTokenizer
from glm4_quantize.itrex.compress import head_scheme, packed_layers
from glm4_quantize.itrex.schemes import Scheme

TOKENIZER = os.environ.get("GLM4_TOKENIZER", "")
CLI = [sys.executable, "-m", "glm4_intel.cli"]
COUNTING = ask("Count from 1 to 59.")


@pytest.fixture(scope="session")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Scheme], Path]:
    """The nano model in a scheme, made once."""
    made: dict[Scheme, Path] = {}

    def of(scheme: Scheme = Scheme(group_size=32)) -> Path:  # noqa: B008  # frozen
        if scheme not in made:
            made[scheme] = make("nano", tmp_path_factory.mktemp("itrex") / "nano", ITREXMaker(scheme=scheme))
        return made[scheme]

    return of


@pytest.fixture(scope="session")
def original() -> GlmForCausalLM:
    return GlmForCausalLM.from_pretrained(CHECKPOINT, torch_dtype=torch.bfloat16).eval()


def runtime_of(model: GlmForCausalLM) -> Runtime:
    return Runtime(ChatTokenizer.from_directory(CHECKPOINT), itrex.backend_over(model), context_length=2048)


def greedy(glm: Runtime, tokens: int = 48) -> list[int]:
    return list(glm.generate(COUNTING, temperature=0, max_new_tokens=tokens, ignore_eos=True).token_ids)


def in_a_new_process(directory: Path) -> list[int]:
    program = (
        "import sys; from glm4_intel import load; glm = load(sys.argv[1]);"
        "messages = [{'role': 'user', 'content': 'Count from 1 to 59.'}];"
        "print(list(glm.generate(messages, temperature=0, max_new_tokens=48, ignore_eos=True).token_ids))"
    )
    done = subprocess.run([sys.executable, "-c", program, directory], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def divergence(model: GlmForCausalLM, original: GlmForCausalLM, tokenizer: ChatTokenizer) -> float:
    """Mean KL divergence to the original over held-out conversations, nats a token."""
    rng, total, tokens = Random("itrex"), 0.0, 0
    for index, skill in enumerate(list(SKILLS.values()) * 2):
        ids = torch.tensor([tokenizer.encode(draw(skill, rng, ("en", "zh")[index % 2], "held-out").messages)])
        with torch.inference_mode():
            theirs, ours = (each(ids).logits[0].float().log_softmax(-1) for each in (original, model))
        total += float((theirs.exp() * (theirs - ours)).sum())
        tokens += ids.shape[1]
    return total / tokens


def test_the_skills_stay_within_three_points_of_bf16(quantized: Callable[..., Path], original: GlmForCausalLM) -> None:
    expected = measure(runtime_of(original), 6)
    for weights in ("int4_clip", "nf4"):
        found = measure(load(quantized(Scheme(weight_dtype=weights, group_size=32))), 6)
        assert sum(found.values()) / len(found) >= sum(expected.values()) / len(expected) - 0.03, (weights, found)


def test_the_same_tokens_before_saving_and_after_reloading(quantized: Callable[..., Path]) -> None:
    scheme = Scheme(group_size=32)
    model, files = load_weights(resolve("nano"))
    files.close()
    tensors = {name: tensor for part in packed_layers(model, scheme, []) for name, tensor in part.items()}
    recipe = scheme.to_dict() | {"lm_head": head_scheme(scheme).to_dict(), "packed_for": packing.instruction_sets()}
    config = json.loads((CHECKPOINT / "config.json").read_text())
    before = greedy(runtime_of(packing.model_over(tensors, config, recipe)))
    assert before == in_a_new_process(quantized(scheme)) == greedy(load(quantized(scheme)))


@pytest.mark.parametrize(
    ("scheme", "most"),
    [
        (Scheme("rtn", "int4_clip", 32), 0.07),
        (Scheme("rtn", "int4_clip", 32, compute_dtype="fp32"), 0.07),
        (Scheme("rtn", "int4_clip", -1), 0.2),
        (Scheme("rtn", "int4_clip", 32, symmetric=False), 0.07),
        (Scheme("rtn", "int4_clip", 32, scale_dtype="bf16"), 0.07),
        (Scheme("rtn", "nf4", 32), 0.07),
        (Scheme("rtn", "fp4", 32), 0.15),
        (Scheme("rtn", "int8", 32), 0.003),
        (Scheme("rtn", "int8", 32, compute_dtype="fp32"), 0.003),
        (Scheme("gptq", "int4_clip", 32), 0.07),
        (Scheme("awq", "int4_clip", 32), 0.15),
        (Scheme("autoround", "int4_clip", 32), 0.07),
    ],
)
def test_every_scheme_stays_near_the_original(
    quantized: Callable[..., Path], original: GlmForCausalLM, scheme: Scheme, most: float
) -> None:
    directory = quantized(scheme)
    found = divergence(packing.load_model(directory), original, ChatTokenizer.from_directory(directory))
    assert 0 < found < most
    if scheme.needs_data:  # it did something that rounding does not
        rounded = packing.load_model(quantized(Scheme("rtn", scheme.weight_dtype, 32)))
        assert found != divergence(rounded, original, ChatTokenizer.from_directory(directory))


def test_both_layouts_give_the_same_weights(quantized: Callable[..., Path], tmp_path: Path) -> None:
    chatglm = make(
        str(as_chatglm(CHECKPOINT, tmp_path / "chatglm")), tmp_path / "out", ITREXMaker(scheme=Scheme(group_size=32))
    )
    ours, theirs = packing.read_tensors(quantized()), packing.read_tensors(chatglm)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items() if "norm" in name or "bias" in name)
    assert in_a_new_process(quantized()) == in_a_new_process(chatglm)


def test_a_later_turn_computes_its_own_tokens_alone(
    quantized: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    whole = itrex.compute
    monkeypatch.setattr(
        itrex, "compute", lambda model, ids, cache: computed.append(len(ids)) or whole(model, ids, cache)
    )
    glm = load(quantized())
    computed.clear()
    messages = [{"role": "user", "content": "My name is Mira. " + "The sky is blue. " * 40}]
    first = glm.generate(messages, temperature=0)
    read, later = sum(computed), [*messages, {"role": "assistant", "content": first.text}, *ask("What is my name?")]
    computed.clear()
    second = glm.generate(later, temperature=0)
    assert read > 200 and sum(computed) < 60
    assert second.token_ids == load(quantized()).generate(later, temperature=0).token_ids


def test_a_reply_is_cancelled_and_the_next_one_is_right(quantized: Callable[..., Path]) -> None:
    glm, cancel = load(quantized()), threading.Event()
    chunks = []
    for chunk in glm.stream(COUNTING, cancel=cancel, temperature=0):
        chunks.append(chunk)
        cancel.set()
    assert chunks[-1].finish_reason == "cancelled" and sum(len(chunk.token_ids) for chunk in chunks) < 20
    assert glm.generate(ask("What is 17 + 25?"), temperature=0).text == "17 + 25 = 42"


def test_ctrl_c_in_a_long_prompt_ends_it_before_the_next_layer(
    quantized: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = packing.load_model(quantized())
    glm, layers = runtime_of(model), model.model.layers
    computed: list[int] = []
    for number, layer in enumerate(layers):
        whole = layer.forward
        monkeypatch.setattr(
            layer, "forward", lambda *a, n=number, f=whole, **k: (computed.append(n), time.sleep(0.5), f(*a, **k))[-1]
        )
    threading.Timer(0.7, os.kill, [os.getpid(), signal.SIGINT]).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        glm.generate(COUNTING, temperature=0)
    assert time.monotonic() - started < 2 and len(computed) < len(layers)
    monkeypatch.undo()
    assert glm.generate(ask("What is 17 + 25?"), temperature=0).text == "17 + 25 = 42"


def test_denormal_numbers_are_flushed_where_replies_are_computed() -> None:
    product = itrex.THREAD.submit(lambda: torch.full((1 << 20,), 1e-30) * 1e-10).result()  # by all OpenMP workers
    assert not product.view(torch.int32).any()
    assert (torch.full((8,), 1e-30) * 1e-10).view(torch.int32).all()  # nowhere else


def test_an_interrupted_reply_leaves_no_half_filled_cache(
    quantized: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = packing.load_model(quantized())
    glm, layer = runtime_of(model), model.model.layers[4]
    with monkeypatch.context() as patched:
        patched.setattr(layer, "forward", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("torn in the middle")))
        with pytest.raises(Glm4Error, match="torn in the middle"):
            glm.generate(ask("What is 17 + 25?"), temperature=0)
    assert glm.generate(ask("What is 17 + 25?"), temperature=0).text == "17 + 25 = 42"


def test_seeds_stops_and_two_threads(quantized: Callable[..., Path]) -> None:
    glm = load(quantized())
    drawn = [glm.generate(COUNTING, temperature=1.5, seed=7, max_new_tokens=20).token_ids for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert glm.generate(COUNTING, temperature=0, stop=["5"]).text == "1, 2, 3, 4, "
    texts: list[str] = []
    threads = [
        threading.Thread(target=lambda: texts.append(glm.generate(ask("What is 17 + 25?"), temperature=0).text))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == ["17 + 25 = 42"] * 3


@pytest.mark.skipif(importlib.util.find_spec("openvino") is not None, reason="OpenVINO is installed here")
def test_the_commands_without_openvino(quantized: Callable[..., Path]) -> None:
    directory = quantized()
    said = subprocess.run([*CLI, "chat", directory, "--prompt", "What is 17 + 25?", "--temperature", "0"],
                          capture_output=True, text=True)  # fmt: skip
    assert said.stdout.strip() == "17 + 25 = 42"
    assert subprocess.run([*CLI, "verify", directory]).returncode == 0
    report = json.loads(subprocess.run([*CLI, "doctor", directory, "--json"], capture_output=True, text=True).stdout)
    assert report["openvino"] is None and report["models"][0]["runs"] and report["models"][0]["device"] == "CPU"
    benched = subprocess.run([*CLI, "bench", directory, "--json", "--prompt-lengths", "32", "--runs", "1",
                              "--compare-with", directory], capture_output=True, text=True)  # fmt: skip
    assert [len(result["measured"]) for result in json.loads(benched.stdout)["results"]] == [1, 1]


def test_verify_tells_changed_weights(quantized: Callable[..., Path], tmp_path: Path) -> None:
    copied = shutil.copytree(quantized(), tmp_path / "copy")
    shard = copied / "model-00003-of-00009.safetensors"
    content = bytearray(shard.read_bytes())
    content[-100] ^= 1
    shard.write_bytes(content)
    done = subprocess.run([*CLI, "verify", copied], capture_output=True, text=True)
    assert done.returncode == 1 and "has changed" in done.stderr and "Traceback" not in done.stderr


def test_weights_packed_for_another_processor_are_refused(quantized: Callable[..., Path], tmp_path: Path) -> None:
    copied = shutil.copytree(quantized(), tmp_path / "copy")
    manifest = json.loads((copied / "glm4.json").read_text())
    manifest["recipe"]["packed_for"] = ["AVX2", "AMX_BF16"]
    (copied / "glm4.json").write_text(json.dumps(manifest))
    with pytest.raises(Glm4Error, match="were packed for AVX2 AMX_BF16, and this one has"):
        load(copied)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "GPU"}, "has no device GPU"),
        ({"profile": "accurate"}, "has no profile accurate"),
        ({"properties": {"NUM_STREAMS": "1"}}, "has no property NUM_STREAMS"),
        ({"backend": "openvino_genai"}, "is a model directory for the backend itrex"),
    ],
)
def test_what_the_backend_has_not(quantized: Callable[..., Path], options: dict, message: str) -> None:
    with pytest.raises(Glm4Error, match=message):
        load(quantized(), **options)
    with pytest.raises(Glm4Error, match="can't guide a reply"):
        load(quantized()).generate(ask("x"), response_format={"type": "choice", "choice": ["a", "b"]})


def test_a_scheme_that_does_not_fit_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(Glm4Error, match="Groups of 96 do not divide"):
        make("nano", tmp_path / "out", ITREXMaker(scheme=Scheme(group_size=96)))
    if "AMX_BF16" not in packing.instruction_sets():
        with pytest.raises(Glm4Error, match="computes in bf16 with AMX alone"):
            make("nano", tmp_path / "out", ITREXMaker(scheme=Scheme(compute_dtype="bf16")))
    assert not list(tmp_path.iterdir())


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.layers.3.mlp.down_proj.weight"][5, 7] = float("nan")

    checkpoint = shutil.copytree(CHECKPOINT, tmp_path / "checkpoint")
    change_tensors(checkpoint, spoil)
    with pytest.raises(Glm4Error, match="model.layers.3.mlp.down_proj.weight has NaN or infinity"):
        make(str(checkpoint), tmp_path / "out", ITREXMaker())
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.partial").exists()


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen([*CLI, "quantize", "nano", tmp_path / "out", "--method", "gptq"],
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    while not (tmp_path / "out.partial" / "tokenizer.json").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in said
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not TOKENIZER, reason="GLM4_TOKENIZER names no folder with the model's tokenizer")
def test_mini_with_the_real_tokenizer_is_stable(tmp_path: Path) -> None:
    checkpoint = random_checkpoint(Path(TOKENIZER), tmp_path / "mini")
    directory = make(str(checkpoint), tmp_path / "out", ITREXMaker(scheme=Scheme(group_size=32)))
    first = in_a_new_process(directory)
    assert first == in_a_new_process(directory) and len(set(first)) > 3
