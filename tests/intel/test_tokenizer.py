"""Messages to ids and back, with the nano model's tokenizer."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from templates import FORM_0414, FORM_Z1, chatglm

from conftest import WEATHER, ask
from glm4_demos.nano import CHECKPOINT
from glm4_intel import Glm4Error
from glm4_intel.chat.tokenizer import ChatTokenizer

PROMPT = ChatTokenizer.from_directory(CHECKPOINT)
TAGS = ("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>")


def reference_ids(messages: list[dict], tools: list | None = None) -> list[int]:
    """What transformers' own template path gives."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)


CONVERSATIONS = [
    ask("你好"),
    ask("  \n\n  x = 1\r\n\t"),
    [{"role": "system", "content": "Be brief."}, *ask("Hi"), {"role": "assistant", "content": "Hello"}, *ask("Bye")],
    [{"role": "system", "tools": [WEATHER]}, *ask("Weather in Oslo?"),
     {"role": "assistant", "metadata": "get_weather", "content": '{"city": "Oslo"}'},
     {"role": "observation", "content": "sunny"}],
    [{"role": "system", "content": "x", "tools": [{"type": "python"}, {"type": "simple_browser"}, {"type": "cogview"}]},
     *ask("1")],
]  # fmt: skip


@pytest.mark.parametrize("messages", CONVERSATIONS)
def test_ids_equal_the_reference_template(messages: list[dict]) -> None:
    assert PROMPT.encode(messages) == reference_ids(messages)


def test_openai_messages_become_glm_messages() -> None:
    openai = [
        *ask("Weather in Oslo?"),
        {"role": "assistant", "content": None,
         "tool_calls": [{"id": "1", "type": "function",
                         "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}]},
        {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "sunny"}]},
    ]  # fmt: skip
    assert PROMPT.encode(openai, [WEATHER]) == PROMPT.encode(CONVERSATIONS[3])


@given(st.text(), st.sampled_from(["system", "user", "assistant", "observation"]), st.sampled_from(TAGS))
def test_content_never_forges_a_role(text: str, role: str, tag: str) -> None:
    ids = PROMPT.encode([{"role": role, "content": text + tag + text}])
    tags = [id for id in ids if id in PROMPT.special_ids]
    assert tags == [PROMPT.special_id(each) for each in ("[gMASK]", "<sop>", f"<|{role}|>", "<|assistant|>")]
    assert text + tag + text in PROMPT.decode(ids)


@pytest.mark.parametrize("tag", TAGS)
def test_tools_never_forge_a_role(tag: str) -> None:
    tool = {"type": "function", "function": {"name": f"f{tag}", "description": tag, tag: [tag]}}
    ids = PROMPT.encode([{"role": "system", "tools": [tool]}, {"role": "assistant", "metadata": tag, "content": "{}"}])
    plain = PROMPT.encode(
        [{"role": "system", "tools": [WEATHER]}, {"role": "assistant", "metadata": "f", "content": "{}"}]
    )
    specials = [[id for id in each if id in PROMPT.special_ids] for each in (ids, plain)]
    assert specials[0] == specials[1]


@given(st.text())
def test_decode_returns_the_text(text: str) -> None:
    encodable = text.encode("utf-8", "ignore").decode()
    assert PROMPT.decode(PROMPT.encode_text(encodable)) == encodable


def test_stop_ids_come_from_the_tokenizer() -> None:
    assert [PROMPT.decode([id], skip_special=False) for id in PROMPT.stop_ids] == [
        "<|endoftext|>", "<|user|>", "<|observation|>",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "messages is empty"),
        ("hi", "messages must be a list"),
        ([3], "messages[0] is int"),
        ([{"role": "human", "content": "x"}], "messages[0].role is 'human'"),
        ([*ask("x"), {"role": "user"}], "messages[1].content is missing"),
        ([{"role": "user", "content": 3}], "messages[0].content is int"),
        (
            [{"role": "user", "content": [{"type": "image_url"}]}],
            "messages[0].content[0] is a part of type 'image_url'",
        ),
        ([{"role": "user", "content": "x", "metadata": "a\nb"}], "messages[0].metadata must be one line"),
        ([{"role": "system", "tools": [{"type": "function"}]}], "messages[0].tools[0].function.name"),
        ([{"role": "assistant", "tool_calls": [{}]}], "messages[0].tool_calls[0].function.name is missing"),
    ],
)
def test_a_malformed_message_is_named(messages: object, said: str) -> None:
    with pytest.raises(Glm4Error) as raised:
        PROMPT.encode(messages)  # type: ignore[arg-type]
    assert said in str(raised.value)


def test_malformed_tools_are_named() -> None:
    with pytest.raises(Glm4Error, match=r"tools\[1\].type is 'plugin'"):
        PROMPT.encode(ask("x"), [WEATHER, {"type": "plugin"}])


def test_a_folder_without_tokenizer_or_template_is_told(tmp_path: Path) -> None:
    with pytest.raises(Glm4Error, match="no tokenizer.json"):
        ChatTokenizer.from_directory(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes((CHECKPOINT / "tokenizer.json").read_bytes())
    assert not ChatTokenizer.from_directory(tmp_path).chats
    (tmp_path / "chat_template.jinja").write_text("{% if %}")
    with pytest.raises(Glm4Error, match="chat template is broken"):
        ChatTokenizer.from_directory(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(Glm4Error, match="can't be read"):
        ChatTokenizer.from_directory(tmp_path)


ROLES = st.sampled_from(["system", "user", "assistant", "observation", "tool", "developer"])
TYPED = st.lists(st.one_of(st.text(max_size=8), st.sampled_from(TAGS)), max_size=4).map("".join)


@given(st.lists(st.tuples(ROLES, TYPED), min_size=1, max_size=6), TYPED, TYPED)
def test_a_prompt_holds_the_tags_of_its_turns_and_no_others(turns: list, name: str, value: str) -> None:
    """For whatever is typed into any role, a tool's name, its description or a call's arguments."""
    name = "f" + "".join(name.split())
    tool = {"type": "function", "function": {"name": name, "description": value}}
    call = {"type": "function", "function": {"name": name, "arguments": {value: value}}}
    messages = [{"role": role, "content": text or "x"} for role, text in turns]
    ids = PROMPT.encode([*messages, {"role": "assistant", "tool_calls": [call]}], [tool])
    rendered = {"tool": "observation", "developer": "system"}
    expected = ["[gMASK]", "<sop>", "<|system|>", *(f"<|{rendered.get(role, role)}|>" for role, _ in turns)]
    tags = [PROMPT.decode([id], skip_special=False) for id in ids if id in PROMPT.special_ids]
    assert tags == [*expected, "<|assistant|>", "<|assistant|>"]


def with_template(template: str, prompt: ChatTokenizer = PROMPT) -> ChatTokenizer:
    return ChatTokenizer(prompt.bpe, template)


def test_tools_go_to_a_template_that_takes_them() -> None:
    shown = with_template(FORM_0414)
    text = shown.decode(shown.encode(ask("x"), [WEATHER]), skip_special=False)
    assert text.startswith("[gMASK]<sop><|system|>\n# 可用工具\n\n## get_weather\n\n{\n")
    assert text.endswith("<|user|>\nx<|assistant|>")


def test_a_reasoning_models_thoughts() -> None:
    """They are no part of history, and a reply to its prompt begins inside of one."""
    prompt = with_template(FORM_Z1)
    messages = [*ask("x"), {"role": "assistant", "content": "<think>hm</think>\nyes"}, *ask("y")]
    ids = prompt.encode(messages)
    assert "hm" not in prompt.decode(ids) and "yes" in prompt.decode(ids)
    assert prompt.thinking(ids) == "inside"
    assert prompt.thinking(prompt.encode(messages, add_generation_prompt=False)) == "auto"
    assert PROMPT.thinking(PROMPT.encode(messages)) == "off"


CONFORMANCE = pytest.mark.skipif("GLM4_CONFORMANCE" not in os.environ, reason="GLM4_CONFORMANCE names no folder")


def conformance(kind: str) -> tuple[ChatTokenizer, list[dict]]:
    entries = json.loads((Path(os.environ["GLM4_CONFORMANCE"]) / "prompts.json").read_text(encoding="utf-8"))
    chosen = [entry for entry in entries if entry["kind"] == kind]
    assert chosen
    return ChatTokenizer.from_directory(os.environ["GLM4_TOKENIZER"]), chosen


@CONFORMANCE
def test_conformance_of_prompts() -> None:
    """The real tokenizer's ids; where content holds special tokens, those that keep it text."""
    real, entries = conformance("chat")
    own = (Path(os.environ["GLM4_TOKENIZER"]) / "chat_template.jinja").read_text(encoding="utf-8")
    prompts = {
        "GLM-4": real,
        "legacy-python": real,
        "ChatGLM": with_template(chatglm(own), real),
        "GLM-4-0414": with_template(FORM_0414, real),
    }
    for entry in entries:
        if not entry["name"].startswith("injection/"):  # what the reference does wrong
            prompt = prompts[entry["template"]]
            ids = prompt.encode(entry["messages"], entry["tools"], entry["add_generation_prompt"])
            assert ids == entry["expected_ids"], entry["name"]


@CONFORMANCE
def test_conformance_of_texts() -> None:
    real, entries = conformance("encode")
    prefix = [real.special_id("[gMASK]"), real.special_id("<sop>")]
    for entry in entries:
        ids = (prefix if entry["add_special_tokens"] else []) + real.encode_text(entry["text"])
        if any(tag in entry["text"] for tag in TAGS):
            assert real.decode(ids) == entry["text"] and not set(ids) & real.special_ids  # typed: they stay text
        else:
            assert ids == entry["expected_ids"], entry["name"]
    real, entries = conformance("decode")
    for entry in entries:
        ids = next(value for key, value in entry.items() if key.endswith("ids") and value)
        assert real.decode(ids) == entry["expected_text"], entry["name"]


@pytest.mark.parametrize("token", ["等于号", "<equals sign>", "🙂", "<égal>", "\n\n\n", "Ġé"])
def test_an_added_token_of_any_spelling_decodes(token: str) -> None:
    """It is spelled as its text, not in byte-level BPE's alphabet."""
    from tokenizers import AddedToken, Tokenizer

    bpe = Tokenizer.from_file(str(CHECKPOINT / "tokenizer.json"))
    bpe.add_tokens([AddedToken(token, normalized=False)])
    grown = ChatTokenizer(bpe, None)
    assert grown.decode([*grown.encode_text("a"), bpe.token_to_id(token)]) == f"a{token}"
    assert grown.decode(grown.encode_text(f"1 {token} 2")) == f"1 {token} 2"


@pytest.mark.parametrize(
    ("text", "read"), [("hi \ud83d there", "hi � there"), ("hi \ud83d\ude00 there", "hi 😀 there"), ("\udc80", "�")]
)
def test_halves_of_surrogate_pairs_do_no_harm(text: str, read: str) -> None:
    tool = {"type": "function", "function": {"name": "f", "description": text}}
    messages = [{"role": "system", "content": text}, *ask(text)]
    assert PROMPT.decode(PROMPT.encode(messages, [tool])).count(read) == 3
    assert PROMPT.encode(ask(text)) == PROMPT.encode(ask(read))


def test_a_template_may_ask_for_the_date_and_mark_what_is_learned() -> None:
    form = (CHECKPOINT / "chat_template.jinja").read_text(encoding="utf-8")
    marked = form.replace("{{ item['content'] }}", "{% generation %}{{ item['content'] }}{% endgeneration %}")
    assert marked != form
    dated = with_template("{% set today = strftime_now('%Y-%m-%d') %}{{ today | length }}" + marked)
    assert dated.decode(dated.encode(ask("Hi"))) == "10" + PROMPT.decode(PROMPT.encode(ask("Hi")))


PLAIN_FORM = (
    "[gMASK]<sop>{% for turn in messages %}{% if turn['role'] == 'user' %}<|user|>\n{{ turn['content'] }}<|assistant|>"
    "{% elif turn['role'] == 'assistant' %}\n{{ turn['content'] }}{% endif %}{% endfor %}"
)


@pytest.mark.parametrize(
    ("messages", "tools", "said"),
    [
        ([{"role": "system", "content": "Be brief."}, *ask("Hi")], None, "leaves out system messages"),
        (ask("Hi"), [WEATHER], "leaves out tools"),
        ([{"role": "system", "tools": [WEATHER]}, *ask("Hi")], None, "leaves out tools"),
        ([*ask("Hi"), {"role": "tool", "content": "21 degrees"}], None, "leaves out results of tools"),
    ],
)
def test_what_a_template_leaves_out_is_refused(messages: list[dict], tools: list | None, said: str) -> None:
    plain = with_template(PLAIN_FORM)
    with pytest.raises(Glm4Error, match=said):
        plain.encode(messages, tools)
    assert "Hi" in plain.decode(plain.encode(ask("Hi")))


def test_what_templates_leave_out() -> None:
    assert with_template(PLAIN_FORM).dropped == ["system messages", "tools", "results of tools"]
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}" + PLAIN_FORM
    assert "system messages" in with_template(refusing).dropped
    assert PROMPT.dropped == with_template(FORM_0414).dropped == []
