"""Several adapters in one batch: each reply is the merged model's, and what can't be had is said."""

import gc
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import openvino
import pytest
import torch
from graphs import merged_graph
from openvino import opset13 as op

from adapter_forms import CONFIG, QKV, change_adapter, lora_folder, prefix_folder
from glm4_demos.nano import ADAPTERS, CHECKPOINT
from glm4_demos.nano.adapter_skills import ADAPTER_SKILLS
from glm4_demos.nano.skills import draw
from glm4_export.making import make
from glm4_export.openvino.maker import OpenVINOMaker
from glm4_intel import Runtime, cli, load, model_directory
from glm4_intel.backends import EngineOptions, LoadOptions, Request, engine_for
from glm4_intel.backends.adapters import LowRank, read_adapter
from glm4_intel.backends.genai.adapters import read_set
from glm4_intel.backends.genai.adapters.graph import with_adapters
from glm4_intel.backends.genai.adapters.marker import Place
from glm4_intel.backends.openvino_ir import INT8_PREFILL
from glm4_intel.chat.generation import GenerationParams
from glm4_intel.devices import Device, Machine
from glm4_intel.errors import Glm4Error
from glm4_quantize.attention import compute_attention_in_bf16
from glm4_quantize.recipes import RECIPES

NAMES = ("sorting", "reversal", "comparison")
FOLDERS = {name: ADAPTERS / name for name in NAMES}
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
GREEDY: dict[str, Any] = {"temperature": 0, "max_new_tokens": 24}


def loaded(directory: Path, adapters: Mapping[str, Path] | None = None, **options: Any) -> Runtime:
    return load(directory, "CPU", profile="throughput", adapters=adapters, huge_pages=False, warmup=False, **options)


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The nano model without compression."""
    return make("nano", tmp_path_factory.mktemp("exact") / "nano", OpenVINOMaker(recipe=RECIPES["none"]))


@pytest.fixture(scope="module")
def several(exact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """Three trained adapters and one of virtual tokens."""
    virtual = prefix_folder(tmp_path_factory.mktemp("several") / "virtual")
    with loaded(exact, {**FOLDERS, "virtual": virtual}, properties=EXACT) as runtime:
        yield runtime


def mixed(count: int = 16) -> list[tuple[str | None, str]]:
    """Questions of every adapter's skill, each asked of one of them or of none, in a mixed order."""
    rng, names = Random("mixed"), [None, *NAMES]
    asked = []
    for index in range(count):
        skill = ADAPTER_SKILLS[NAMES[index // 4 % 3]]
        asked.append((names[index % 4], draw(skill, rng, ("en", "zh")[index % 2], "held-out").messages[0]["content"]))
    return asked


def replies(runtime: Runtime, asked: list[tuple[str | None, str]]) -> list[tuple[int, ...]]:
    """All at once."""

    def one(pair: tuple[str | None, str]) -> tuple[int, ...]:
        return runtime.generate([{"role": "user", "content": pair[1]}], adapter=pair[0], **GREEDY).token_ids

    with ThreadPoolExecutor(len(asked)) as pool:
        return list(pool.map(one, asked))


def test_sixteen_mixed_replies_are_those_of_merged_models(exact: Path, several: Runtime, tmp_path: Path) -> None:
    asked = mixed()
    together = replies(several, asked)
    for name in (None, *NAMES):
        directory = exact if name is None else merged_graph(exact, FOLDERS[name], tmp_path / name)
        mine = [index for index, (adapter, _) in enumerate(asked) if adapter == name]
        with loaded(directory, properties=EXACT) as merged:
            alone = replies(merged, [(None, asked[index][1]) for index in mine])
        assert [together[index] for index in mine] == alone, name


def test_the_prefix_cache_keeps_adapters_apart(several: Runtime) -> None:
    """The same long prompt again and again, asked of one after another: what was cached is the adapter's own."""
    text = "Read the text. " + "Mira lives in Oslo. " * 30 + "Write 48213 backwards."
    fresh = {name: replies(several, [(name, f"{text} ")])[0] for name in (None, *NAMES, "virtual")}
    again = {name: replies(several, [(name, f"{text} ")])[0] for name in reversed(fresh)}
    assert again == fresh and len(set(fresh.values())) > 1


def test_each_adapter_has_its_skill_in_int4(nano: Path) -> None:
    rng = Random("int4")
    with loaded(nano, FOLDERS) as runtime:
        for name in NAMES:
            examples = [draw(ADAPTER_SKILLS[name], rng, ("en", "zh")[index % 2], "held-out") for index in range(12)]
            wanted = [example.messages[1]["content"] for example in examples]
            questions = [example.messages[0]["content"] for example in examples]
            for adapter, least, most in ((name, 8, 12), (None, 0, 3)):
                found = replies(runtime, [(adapter, question) for question in questions])
                texts = [runtime.tokenizer.decode(ids[:-1]).lstrip("\n") for ids in found]
                right = sum(text == answer for text, answer in zip(texts, wanted, strict=True))
                assert least <= right <= most, (adapter, right, texts, wanted)


@pytest.mark.parametrize("base", ["nano", "THUDM/glm-4-9b-chat"])
def test_p_tuning_computes_what_transformers_does(exact: Path, tmp_path: Path, base: str) -> None:
    """Virtual tokens of both ways to count positions: transformers' behind them, GLM-4's own code's from 0."""
    folders = {"a": prefix_folder(tmp_path / "a", 24, base=base), "b": prefix_folder(tmp_path / "b", 9, 1, base)}
    folders["c"] = lora_folder(tmp_path / "c", QKV)
    with loaded(exact, folders, properties=EXACT) as runtime:
        asked = [
            ("a", "What is 17 + 25?"),
            ("b", "What is 3 + 4?"),
            (None, "Count from 3 to 9."),
            ("c", "Who are you?"),
        ]
        found = replies(runtime, asked * 2)
        ids = [runtime.tokenizer.encode([{"role": "user", "content": text}]) for _, text in asked]
    assert found[:4] == found[4:]
    for index, name in enumerate(("a", "b", None)):
        expected = _reference(folders[name] if name else None, ids[index], len(found[index]))
        assert list(found[index]) == expected


def _reference(folder: Path | None, ids: list[int], count: int) -> list[int]:
    from transformers import DynamicCache, GlmForCausalLM

    model = GlmForCausalLM.from_pretrained(CHECKPOINT, dtype=torch.float32).eval()
    cache, before, start = DynamicCache(), 0, 0
    prefix = read_adapter(folder, CONFIG).prefix if folder else None
    if prefix:
        before, start = prefix.tokens, 0 if prefix.from_zero else prefix.tokens
        for layer, values in enumerate(prefix.values):
            keys, learnt = (torch.from_numpy(each).permute(1, 0, 2)[None] for each in values)
            cache.update(keys, learnt, layer)
    feed, done, written = torch.tensor([ids]), 0, []
    for _ in range(count):
        places = torch.arange(done, done + feed.shape[1])
        with torch.no_grad():
            output = model(
                input_ids=feed, past_key_values=cache, use_cache=True, position_ids=(start + places)[None],
                attention_mask=torch.ones(1, before + done + feed.shape[1]), cache_position=before + places,
            )  # fmt: skip
        done += feed.shape[1]
        written.append(int(output.logits[0, -1].argmax()))
        feed = torch.tensor([[written[-1]]])
    return written


def test_memory_is_in_the_plan(nano: Path, tmp_path: Path) -> None:
    directory, engine = model_directory.read(nano), engine_for(model_directory.read(nano))
    options = LoadOptions(device="CPU", profile="throughput", ignore_limits=True, engine=EngineOptions(context=512))
    plain = engine.plan(directory, options, Machine())
    folders = {"a": lora_folder(tmp_path / "a", QKV), "p": prefix_folder(tmp_path / "p", 24)}
    adapted = engine.plan(directory, replace(options, adapters=folders), Machine())
    values = 8 * 4 * ((256 + 256) + 2 * (256 + 128)) + 8 * 2 * 24 * 128
    assert plain.footprint.adapters == 0 and adapted.footprint.adapters == 4 * values
    assert adapted.cached_tokens == plain.cached_tokens + 24
    per_token = [each.footprint.cache / each.cached_tokens for each in (plain, adapted)]
    assert per_token[1] / per_token[0] == pytest.approx(1 + 1 / 8, rel=1e-3)


def test_with_adapters_auto_is_the_cpu(nano: Path, tmp_path: Path) -> None:
    directory, engine = model_directory.read(nano), engine_for(model_directory.read(nano))
    machine = Machine([Device("CPU", "CPU"), Device("GPU", "Arc", integrated=False, memory=16 << 30)])
    options = LoadOptions(adapters={"a": lora_folder(tmp_path / "a")})
    assert engine.plan(directory, replace(options, adapters={}), machine).device.kind == "GPU"
    plan = engine.plan(directory, options, machine)
    assert (plan.device.name, plan.reason) == ("CPU", "adapters need it")
    with pytest.raises(Glm4Error, match="The GPU can't choose an adapter") as caught:
        engine.plan(directory, replace(options, device="GPU"), machine)
    assert "--device CPU" in (caught.value.hint or "")


def test_prompts_are_read_in_int4_with_adapters(prefill_nano: Path, nano: Path) -> None:
    """However much memory there is, and the replies are the int4 model's."""
    directory, text = model_directory.read(prefill_nano), "Write 48213 backwards. " * 5
    plans = [
        engine_for(directory).plan(directory, LoadOptions(adapters=adapters), Machine([Device("CPU", "CPU")], 1 << 36))
        for adapters in ({}, {"reversal": FOLDERS["reversal"]})
    ]
    assert [plan.one_way for plan in plans] == [False, True]
    assert plans[1].note == "prompts are read in int4, as tokens are: the int8 way can't be had with adapters"
    found = []
    for each in (prefill_nano, nano):
        with loaded(each, {"reversal": FOLDERS["reversal"]}) as runtime:
            found.append(replies(runtime, [("reversal", text), (None, text)]))
    assert found[0] == found[1]


def test_what_cant_be_had_is_said(nano: Path, tmp_path: Path, several: Runtime) -> None:
    directory, folder = model_directory.read(nano), lora_folder(tmp_path / "a")
    dora, saved = lora_folder(tmp_path / "d", ("v_proj",), use_dora=True), lora_folder(tmp_path / "s")

    def lengths(tensors: dict[str, np.ndarray]) -> None:
        for number in range(8):
            name = f"base_model.model.model.layers.{number}.self_attn.v_proj.lora_magnitude_vector"
            tensors[name] = np.ones(128, np.float32)

    change_adapter(dora, lengths)
    change_adapter(
        saved, lambda tensors: tensors.update({"base_model.model.lm_head.weight": np.zeros((3072, 256), np.float32)})
    )
    for given, options, said in (
        ({"d": dora}, {}, "is DoRA, which is exact only with the base's own weights"),
        ({"s": saved}, {}, "replaces lm_head.weight"),
        ({str(number): folder for number in range(20)}, {}, "has room for"),
        ({"a": folder}, {"backend": "optimum"}, "can't choose an adapter for each reply"),
        ({"a": folder}, {"engine": EngineOptions(draft_model=nano)}, "can't choose an adapter for each reply"),
    ):
        asked = LoadOptions(device="CPU", adapters=given, **options)
        with pytest.raises(Glm4Error, match=said) as caught:
            engine_for(directory, asked.backend).plan(directory, asked, Machine())
        assert caught.value.hint
    with pytest.raises(Glm4Error, match="There is no adapter 'z'"):
        several.generate([{"role": "user", "content": "?"}], adapter="z")
    with pytest.raises(Glm4Error, match="must begin with"):
        list(several.stream_ids([5, 6, 7], adapter="reversal"))
    with pytest.raises(Glm4Error, match="a token that is kept for adapters"):
        list(several.stream_ids([3068, 6, 7]))


def test_a_device_that_has_no_such_graph_says_so(npu_nano: Path, tmp_path: Path) -> None:
    directory = model_directory.read(npu_nano)
    options = LoadOptions(device="NPU", properties={"NPUW_DEVICES": "CPU"}, adapters={"a": lora_folder(tmp_path / "a")})
    with pytest.raises(Glm4Error, match="The NPU can't choose an adapter"):
        engine_for(directory).plan(directory, options, Machine())


@pytest.mark.parametrize("device", ["CPU", "NPU"])
def test_an_engine_without_adapters_refuses_a_reply_that_names_one(device: str, npu_nano: Path) -> None:
    through = {"NPUW_DEVICES": "CPU", "NPUW_ONLINE_PIPELINE": "NONE"} if device == "NPU" else {}
    backend = "optimum" if device == "CPU" else None
    with (
        load(npu_nano, device, backend=backend, properties=through, huge_pages=False, warmup=False) as runtime,
        pytest.raises(Glm4Error, match="There is no adapter 'a'") as caught,
    ):
        runtime.generate([{"role": "user", "content": "Hi"}], adapter="a", **GREEDY)
    assert caught.value.hint == "This engine has none."


def test_a_prompt_carries_its_adapter(exact: Path, tmp_path: Path) -> None:
    folders = {"a": lora_folder(tmp_path / "a"), "p": prefix_folder(tmp_path / "p", 3)}
    prompts = read_set(exact, CONFIG, folders).prompts
    request = Request(ids=[3060, 1, 2], params=GenerationParams())
    assert prompts.of(request) == [3060, 1, 2]
    assert prompts.of(replace(request, adapter="a")) == [prompts.places["a"].id, 1, 2]
    assert prompts.of(replace(request, adapter="p")) == [prompts.places["p"].id] * 3 + [3060, 1, 2]


@pytest.mark.parametrize("profile", ["chat", "throughput"])
def test_the_engine_alone_holds_the_adapters(profile: str, exact: Path, tmp_path: Path) -> None:
    """What they change is constants of the engine's: no copy of it stays beside them."""

    def held() -> int:
        gc.collect()
        return sum(isinstance(each, LowRank) for each in gc.get_objects())

    before = held()
    folders = {"a": lora_folder(tmp_path / "a")}
    with load(exact, "CPU", profile=profile, adapters=folders, huge_pages=False, warmup=False) as runtime:
        assert held() == before
        assert runtime.generate([{"role": "user", "content": "Hi"}], adapter="a", **GREEDY).token_ids


def test_a_cache_folder_that_cant_be_written_is_told(
    exact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GLM4_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(Glm4Error, match="Adapters need room in .*cache: ") as caught:
        loaded(exact, {"a": lora_folder(tmp_path / "a")})
    assert caught.value.hint == "Name another place with GLM4_CACHE."


def test_nothing_of_the_edited_model_is_left(exact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLM4_CACHE", str(tmp_path / "cache"))
    killed = tmp_path / "cache" / "glm4-intel-loading.killed"
    killed.mkdir(parents=True)
    (killed / ".in-use").write_text("\n")
    with closing(loaded(exact, {"a": lora_folder(tmp_path / "a")})) as runtime:
        assert not list((tmp_path / "cache").iterdir())
        assert runtime.generate([{"role": "user", "content": "Hi"}], adapter="a", **GREEDY).token_ids


def test_the_model_itself_is_asked_for_by_the_empty_name(several: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Write 48213 backwards."
    base, own = replies(several, [(None, text), ("reversal", text)])
    monkeypatch.setattr(several, "adapter", "reversal")
    assert replies(several, [(None, text), ("", text)]) == [own, base] and own != base
    with pytest.raises(Glm4Error, match="An adapter has no name"):
        LoadOptions(adapters={"": FOLDERS["reversal"]})


def test_chat_takes_adapters(nano: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["chat", str(nano), "Write 4821 backwards.", "--temperature", "0", "--device", "CPU", "--no-huge-pages"]
    assert cli.main([*asked, "--adapter", f"back={ADAPTERS / 'reversal'}", "--adapter", str(ADAPTERS / "sorting")]) == 0
    assert capsys.readouterr().out.strip() == "1284"
    assert cli.main([*asked, "--adapter", str(nano)]) == 1
    assert "is no adapter" in capsys.readouterr().err


def test_graphs_that_adapters_cant_be_added_to_are_told() -> None:
    value = op.parameter([1, 4], openvino.Type.f32)
    block = op.relu(value)
    model = openvino.Model([op.result(block)], [value])
    with pytest.raises(Glm4Error, match="has not the attention that adapters are added by"):
        with_adapters(model, [], [], 0, CONFIG)
    block.set_friendly_name(f"{INT8_PREFILL}0")
    with pytest.raises(Glm4Error, match="prompts in int8 can't be given adapters"):
        with_adapters(model, [], [], 0, CONFIG)


def test_attention_in_bf16_takes_no_adapters(nano: Path) -> None:
    model = openvino.Core().read_model(nano / "openvino_model.xml")
    compute_attention_in_bf16(model)
    adapter, place = read_adapter(FOLDERS["reversal"], CONFIG), Place(3068, 1)
    with pytest.raises(Glm4Error, match="attention in bf16 can't be given adapters") as caught:
        with_adapters(model, [adapter], [place], 3060, CONFIG)
    assert "--no-bf16-attention" in (caught.value.hint or "")
