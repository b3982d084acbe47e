"""`glm4-intel web` before any browser comes: what it refuses, and what a page shows of a conversation."""

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from glm4_demos.dialogue import Dialogue, Turn, readable
from glm4_demos.nano import CHECKPOINT
from glm4_demos.web import WebArguments
from glm4_demos.webpage.figures import context_meter, speed_plot
from glm4_demos.webpage.view import plain_tags, shown
from glm4_demos.webpage.words import EXAMPLES, LANGUAGES, word
from glm4_intel import Conversation, Glm4Error, Runtime, load
from glm4_intel.chat.tokenizer import ChatTokenizer
from glm4_intel.cli import main
from glm4_intel.serving.names import bracketed, is_local

if TYPE_CHECKING:
    from glm4_demos.webpage.models import Models

FIGURES = {"prompt_tokens": 10, "completion_tokens": 5, "truncated_messages": 2, "time_to_first_token": 0.02,
           "device": "CPU", "time_per_token": 0.01, "tokens_per_second": 100.0, "finish_reason": "stop"}  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "lets other machines in without a password"),
        (["--auth", "ada"], "not of the form USER:PASSWORD"),
        (["--port", "0"], "--port 0 is no port"),
        (["--queue", "0"], "lets nobody in"),
        (["--max-upload", "0"], "takes no document"),
        (["--allowed-host", "https://chat.example/"], "is no name"),
        (["--auth-file", "no/such/file"], "can't be read: No such file"),
        (["no/such/folder"], "There is no folder no/such/folder"),
    ],
)
def test_what_it_refuses(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["web", *arguments]) == 1
    assert said in capsys.readouterr().err


def test_a_host_of_others_needs_a_password_or_a_word() -> None:
    from glm4_intel.loading import LoadOptions

    for auth, no_auth in ((("ada", "secret"), False), (None, True)):
        WebArguments(model=None, load=LoadOptions(), host="0.0.0.0", auth=auth, no_auth=no_auth)


def test_a_browser_can_not_claim_to_be_a_user(nano: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The id that a browser keeps is its own to change: it must not open the folder of somebody with a password."""
    from types import SimpleNamespace

    from glm4_demos.store import Store
    from glm4_demos.webpage.admission import Admission
    from glm4_demos.webpage.events.page import PageEvents

    monkeypatch.setenv("GLM4_DATA", str(tmp_path))
    Store("ada").save(Dialogue(title="Secret", turns=[Turn("user", "secret")]))
    events = PageEvents(loaded(nano), Admission(1))
    for claimed, user, seen in (("ada", None, False), ("0" * 32, "ada", True), ("ada", "bob", False)):
        values = events.open_page(claimed, "en", SimpleNamespace(username=user, headers={}))
        owner = values.pop("owner")
        assert set(values) | {"owner"} == set(events.OPENED)
        assert ("secret" in str(values)) is seen and (owner == "ada") is seen


def loaded(nano: Path) -> "Models":
    from glm4_demos.webpage.models import Models
    from glm4_intel.loading import LoadOptions

    models = Models(nano, LoadOptions())
    models.load(nano, "CPU", lambda stage, share: None)
    return models


def test_a_reply_that_is_closed_before_it_begins_is_due_no_more(
    nano: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from glm4_demos.webpage.admission import Admission
    from glm4_demos.webpage.events.replies import ReplyEvents
    from glm4_demos.webpage.events.values import SAMPLING
    from glm4_demos.webpage.setting import Setting
    from glm4_demos.webpage.uploads import Uploads

    monkeypatch.setenv("GLM4_DATA", str(tmp_path))
    setting = Setting(uploads=Uploads(1 << 20, tmp_path / "uploads"), tools={})
    events, page = ReplyEvents(loaded(nano), Admission(1), setting), SimpleNamespace(session_hash="one")
    talk = Dialogue()
    for _ in range(2):
        events.submit({"text": "Hello"}, talk, "ada", "", "en", page)
        pictures = events.answer(talk, "ada", [], "en", page, *[None] * len(SAMPLING))
        assert "One moment" in next(pictures)["chat"][-1]["content"]
        pictures.close()


def test_handlers_are_given_to_gradio_by_component() -> None:
    """What a handler returns by name may be in any order, and leave out what stays as it is."""
    gradio = pytest.importorskip("gradio")
    from glm4_demos.webpage.wiring import Wiring

    with gradio.Blocks():
        components = {"one": gradio.Textbox(), "two": gradio.Textbox()}
    wiring = Wiring(components)

    def steps(one: str) -> Iterator[dict[str, str]]:
        yield {"two": one}
        yield {}

    assert wiring.by_component(lambda: {"two": 2, "one": 1})() == {components["two"]: 2, components["one"]: 1}
    assert list(wiring.by_component(steps)("a")) == [{components["two"]: "a"}, {}]
    assert wiring.by_component(lambda: None)() is None


def test_a_call_is_shown_indented_in_both_forms_and_its_result_has_its_id(glm: Runtime) -> None:
    from glm4_demos.tools import TOOLS

    for arguments in ({"city": "Oslo"}, '{"city": "Oslo"}'):
        assert readable(arguments) == '{\n  "city": "Oslo"\n}'
    assert readable("print(1)") == "print(1)" and readable("1_0") == "1_0"
    talk = Dialogue()
    talk.ask("What time is it in Tokyo?")
    for _ in talk.reply(glm, [TOOLS["get_time"]], temperature=0):
        pass
    asked, result = talk.turns[1], talk.turns[2]
    assert result.message()["tool_call_id"] == asked.tool_calls[0]["id"]
    assert Dialogue.from_dict(json.loads(talk.as_json())) == talk
    assert '  "city": "Tokyo"' in talk.as_markdown()


@pytest.mark.enable_socket
def test_a_port_that_is_taken(nano: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["web", str(nano), "--port", str(port)]) == 1
    assert "can't be listened on" in capsys.readouterr().err


@pytest.mark.enable_socket
def test_a_port_is_looked_at_before_anything_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["web", "THUDM/glm-4-9b-chat", "--port", str(taken.getsockname()[1])]) == 1
    assert "can't be listened on: Address already in use" in capsys.readouterr().err
    assert main(["web", "nano", "--host", "no.such.host.invalid", "--no-auth"]) == 1
    assert "no.such.host.invalid:7860 can't be listened on" in capsys.readouterr().err


def test_addresses_in_urls() -> None:
    assert (
        bracketed("::1") == "[::1]" and bracketed("127.0.0.1") == "127.0.0.1" and bracketed("localhost") == "localhost"
    )
    assert is_local("::1") and is_local("127.0.0.2") and is_local("localhost")
    assert not is_local("::") and not is_local("0.0.0.0") and not is_local("example.org")


@pytest.mark.enable_socket
def test_a_page_at_an_ipv6_address(nano: Path, free_port: int) -> None:
    command = [sys.executable, "-m", "glm4_intel", "web", str(nano), "--host", "::1", "--port", str(free_port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[0]
        assert url == f"http://[::1]:{free_port}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            assert answer.status == 200
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def free_port() -> int:
    try:
        with socket.socket(socket.AF_INET6) as tried:
            tried.bind(("::1", 0))
            return int(tried.getsockname()[1])
    except OSError:
        pytest.skip("no IPv6 here")


def test_an_empty_folder_holds_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["web", str(tmp_path)]) == 1
    assert "holds no model directory" in capsys.readouterr().err


def test_thoughts_and_calls_fold_and_belong_to_their_turns() -> None:
    call = {"type": "function", "function": {"name": "get_time", "arguments": {"city": "Oslo"}}}
    turns = [
        Turn("user", "time?", {"name": "a.txt", "text": "x", "tokens": 3, "inline": True}),
        Turn("assistant", "", tool_calls=[call], reasoning="a city", figures=FIGURES),
        Turn("tool", '{"time": "12:00"}', seconds=0.5),
        Turn("assistant", "Noon.", figures=FIGURES),
    ]
    messages, owners = shown(Dialogue(turns=turns), "openvino_genai", 2048, "en")
    assert owners == [0, 0, 1, 1, 3]
    assert [message.get("metadata", {}).get("title") for message in messages] == [
        None, None, "Thoughts", "Tool: get_time", None,
    ]  # fmt: skip
    assert messages[3]["metadata"] == {"title": "Tool: get_time", "status": "done", "duration": 0.5}
    assert '"12:00"' in messages[3]["content"] and "2 oldest messages left out" in messages[4]["content"]


def test_tags_and_images_become_text_and_code_stays() -> None:
    assert plain_tags("<b>x</b> ![i](http://a) `<c>` $a<b$") == "&lt;b>x&lt;/b> !\\[i](http://a) `<c>` $a<b$"
    assert plain_tags("```html\n<p>\n``` <p>") == "```html\n<p>\n``` &lt;p>"
    assert plain_tags("```\n<p> never closed") == "```\n<p> never closed"


def test_the_meter_and_the_plot() -> None:
    empty, talk = Dialogue(), Dialogue(turns=[Turn("assistant", "x", figures=FIGURES)] * 2)
    assert 'aria-valuenow="0"' in context_meter(empty, 100, True, "en") and "svg" not in speed_plot(empty, "en")
    assert 'aria-valuenow="15"' in context_meter(talk, 100, False, "en")
    assert "refused" in context_meter(talk, 100, False, "en") and "full" in context_meter(talk, 16, True, "en")
    assert speed_plot(talk, "zh").count("<circle") == 2 and "100" in speed_plot(talk, "zh")


def test_every_word_is_in_both_languages() -> None:
    from glm4_demos.webpage import words

    assert all(english and chinese for english, chinese in words._WORDS.values())
    assert word("new", "zh") == "新对话" and set(EXAMPLES) == set(LANGUAGES.values())


def test_a_long_document_is_read_by_pages(nano: Path) -> None:
    from glm4_intel.agent.documents import Document

    glm, talk = load(nano), Dialogue()
    talk.ask("What is it about?", Document("long.txt", "The road is long. " * 600), glm)
    assert talk.turns[0].document and not talk.turns[0].document["inline"]
    assert {tool.name for tool in talk.document_tools()} == {"read_page", "find_in_document"}
    assert "has 6 pages" in talk.messages()[0]["content"] and len(talk.messages()[-1]["content"]) < 100


def test_a_device_that_is_not_there_leaves_the_model(nano: Path) -> None:
    models = loaded(nano)
    old = models.loaded
    with pytest.raises(Glm4Error, match="There is no device GPU.9"):
        models.load(nano, "GPU.9", lambda stage, share: None)
    assert models.loaded is old and not old.runtime.closed
    assert models.runtime.generate([{"role": "user", "content": "What is 5 + 6?"}], temperature=0).text == "5 + 6 = 11"


def broken_copy(nano: Path, place: Path) -> Path:
    """A model directory without a manifest, whose damage shows when the engine reads its weights."""
    shutil.copytree(nano, place)
    (place / "glm4.json").unlink()
    (place / "openvino_model.bin").write_bytes(b"short")
    return place


def test_a_model_that_breaks_while_it_is_loaded_gives_the_old_one_back(nano: Path, tmp_path: Path) -> None:
    from glm4_demos.webpage.models import Models
    from glm4_intel.loading import LoadOptions

    whole = Path(shutil.copytree(nano, tmp_path / "a-whole"))
    broken = broken_copy(nano, tmp_path / "b-broken")
    models, during = Models(tmp_path, LoadOptions()), []
    models.load(whole, "CPU", lambda stage, share: None)
    old = models.loaded

    def ask(stage: str, share: float | None) -> None:
        """Somebody asks while the models change places."""
        try:
            during.append(models.runtime)
        except Glm4Error as error:
            during.append(str(error))

    with pytest.raises(Glm4Error):
        models.load(broken, "CPU", ask)
    assert old.runtime.closed and during[0] == "Another model is being loaded"
    assert models.loaded.directory == whole and models.loaded.backend == "openvino_genai"
    assert models.runtime.generate([{"role": "user", "content": "What is 5 + 6?"}], temperature=0).text == "5 + 6 = 11"


def test_the_old_model_is_closed_before_the_next_is_loaded(nano: Path) -> None:
    models, states = loaded(nano), []
    old = models.loaded.runtime
    models.load(nano, "CPU", lambda stage, share: states.append(old.closed))
    assert states and all(states) and not models.runtime.closed and models.runtime is not old


def test_a_dialogue_saved_before_calls_had_ids_is_read_and_sent() -> None:
    call = {"type": "function", "function": {"name": "get_time", "arguments": {"city": "Oslo"}}}
    turns = [
        {"role": "user", "content": "time?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": '{"time": "12:00"}', "seconds": 0.5},
    ]
    old = Dialogue.from_dict({"id": "0" * 32, "title": "time?", "system": "", "created": "", "turns": turns})
    tokenizer = ChatTokenizer.from_directory(CHECKPOINT)
    said = tokenizer.decode(Conversation.parse(old.messages()).render(tokenizer), skip_special=False)
    assert 'get_time\n{"city": "Oslo"}<|observation|>\n{"time": "12:00"}<|assistant|>' in said


@pytest.mark.enable_socket
@pytest.mark.parametrize("proxies", [{"http_proxy": "http://127.0.0.1:9"}, {"all_proxy": "socks5://127.0.0.1:9"}])
def test_a_proxy_of_the_environment_does_not_stop_the_page(nano: Path, tmp_path: Path, proxies: dict[str, str]) -> None:
    """Neither a dead one nor one that speaks SOCKS, for which httpx would want a package of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    page = subprocess.Popen([sys.executable, "-m", "glm4_intel.cli", "web", str(nano), "--port", str(port)],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            env={**environment, "GLM4_DATA": str(tmp_path), **proxies})  # fmt: skip
    try:
        assert page.stdout is not None
        said: list[str] = []
        while not said or f"http://127.0.0.1:{port}" not in said[-1]:  # a slow machine tells more before it
            said.append(next(page.stdout))
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{port}/", timeout=20) as answer:
            assert answer.status == 200
    finally:
        page.terminate()
        page.wait(20)
