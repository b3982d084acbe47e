"""`glm4-intel web` before any browser comes: what it refuses, and what a page shows of a conversation."""

import socket
from pathlib import Path

import pytest

from glm4_demos.conversation import Conversation, Turn
from glm4_demos.web import WebArguments
from glm4_demos.webpage.figures import context_meter, speed_plot
from glm4_demos.webpage.view import plain_tags, shown
from glm4_demos.webpage.words import EXAMPLES, LANGUAGES, word
from glm4_intel.cli import main

FIGURES = {"prompt_tokens": 10, "completion_tokens": 5, "truncated_messages": 2, "time_to_first_token": 0.02, "device": "CPU",
           "time_per_token": 0.01, "tokens_per_second": 100.0, "finish_reason": "stop"}  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "lets other machines in without a password"),
        (["--auth", "ada"], "not of the form USER:PASSWORD"),
        (["--port", "0"], "--port 0 is no port"),
        (["--queue", "0"], "lets nobody in"),
        (["no/such/folder"], "There is no folder no/such/folder"),
    ],
)
def test_what_it_refuses(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["web", *arguments]) == 1
    assert said in capsys.readouterr().err


def test_a_host_of_others_needs_a_password_or_a_word() -> None:
    from glm4_intel.loading import LoadOptions

    for auth, no_auth in ((("ada", "secret"), False), (None, True)):
        WebArguments(None, LoadOptions(), "0.0.0.0", 7860, auth, no_auth, "", 32, "en", False)


def test_a_browser_can_not_claim_to_be_a_user(nano: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The id that a browser keeps is its own to change: it must not open the folder of somebody with a password."""
    from types import SimpleNamespace

    from glm4_demos.store import Store
    from glm4_demos.webpage.events import Events
    from glm4_demos.webpage.models import Models
    from glm4_intel.loading import LoadOptions

    monkeypatch.setenv("GLM4_DATA", str(tmp_path))
    Store("ada").save(Conversation(title="Secret", turns=[Turn("user", "secret")]))
    models = Models(nano, LoadOptions())
    models.load(nano, "CPU", lambda stage, share: None)
    events = Events(models, {}, 1)
    for claimed, user, seen in (("ada", None, False), ("0" * 32, "ada", True), ("ada", "bob", False)):
        _, owner, *shown_values = events.opened(claimed, "English", SimpleNamespace(username=user))
        assert ("secret" in str(shown_values)) is seen and (owner == "ada") is seen


def test_a_reply_that_is_closed_before_it_begins_is_due_no_more(
    nano: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    from glm4_demos.webpage.events import Events
    from glm4_demos.webpage.models import Models
    from glm4_intel.loading import LoadOptions

    monkeypatch.setenv("GLM4_DATA", str(tmp_path))
    models = Models(nano, LoadOptions())
    models.load(nano, "CPU", lambda stage, share: None)
    events, page, talk = Events(models, {}, 1), SimpleNamespace(session_hash="one"), Conversation()
    for _ in range(2):
        events.asked({"text": "Hello"}, talk, "ada", "", "English", page)
        pictures = events.answer(talk, "ada", [], "English", page, *[None] * len(Events.SAMPLING))
        assert "One moment" in next(pictures)[-1]["content"]
        pictures.close()


@pytest.mark.enable_socket
def test_a_port_that_is_taken(nano: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["web", str(nano), "--port", str(port)]) == 1
    assert "can't be listened on" in capsys.readouterr().err


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
    messages, owners = shown(Conversation(turns=turns), "openvino_genai", 2048, "en")
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
    empty, talk = Conversation(), Conversation(turns=[Turn("assistant", "x", figures=FIGURES)] * 2)
    assert 'aria-valuenow="0"' in context_meter(empty, 100, True, "en") and "svg" not in speed_plot(empty, "en")
    assert 'aria-valuenow="15"' in context_meter(talk, 100, False, "en")
    assert "refused" in context_meter(talk, 100, False, "en") and "full" in context_meter(talk, 16, True, "en")
    assert speed_plot(talk, "zh").count("<circle") == 2 and "100" in speed_plot(talk, "zh")


def test_every_word_is_in_both_languages() -> None:
    from glm4_demos.webpage import words

    assert all(english and chinese for english, chinese in words._WORDS.values())
    assert word("new", "zh") == "新对话" and set(EXAMPLES) == set(LANGUAGES.values())


def test_a_long_document_is_read_by_pages(nano: Path) -> None:
    from glm4_intel import load
    from glm4_intel.agent.documents import Document

    glm, talk = load(nano), Conversation()
    talk.ask("What is it about?", Document("long.txt", "The road is long. " * 600), glm)
    assert talk.turns[0].document and not talk.turns[0].document["inline"]
    assert {tool.name for tool in talk.document_tools()} == {"read_page", "find_in_document"}
    assert "has 6 pages" in talk.messages()[0]["content"] and len(talk.messages()[-1]["content"]) < 100
