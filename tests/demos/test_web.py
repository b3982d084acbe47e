"""The web page in a real headless Chromium, over the real server and the nano model."""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

pytest.importorskip("gradio", reason="pip install -r requirements-dev.txt")
playwright = pytest.importorskip("playwright.sync_api", reason="pip install -r requirements-dev.txt")
from browsing import ARGUMENTS, CHROMIUM, Visitor, empty_site, proxy, server  # noqa: E402
from playwright.sync_api import Browser, expect  # noqa: E402

from glm4_intel.backends import Request  # noqa: E402
from scripted import ScriptedBackend, reply_ids  # noqa: E402
from serving import page  # noqa: E402

pytestmark = [
    pytest.mark.browser,
    pytest.mark.enable_socket,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium; on Debian: apt install chromium"),
]
THROUGH_CPU = ["--property", "NPUW_DEVICES=CPU", "--property", "NPUW_ONLINE_PIPELINE=NONE"]
"""What the NPU's engine runs with where there is none: slowly enough to be looked at in the middle of a reply."""
STORY = "The code of the garage is 4821. Nobody spoke for a long while. Mira lives in Oslo."


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def address(nano: Path, data: Path) -> Iterator[str]:
    with server(nano, data, "--profile", "throughput") as address:
        yield address


@pytest.fixture(scope="module")
def slow(npu_nano: Path, data: Path) -> Iterator[str]:
    """A server whose replies take seconds: the NPU's pipeline on the CPU."""
    with server(npu_nano, data, "--device", "NPU", *THROUGH_CPU) as address:
        yield address


@pytest.fixture
def visitor(browser: Browser, address: str) -> Iterator[Visitor]:
    visitor = Visitor(browser, address)
    yield visitor
    visitor.close()


@pytest.fixture
def patient(browser: Browser, slow: str) -> Iterator[Visitor]:
    visitor = Visitor(browser, slow)
    yield visitor
    visitor.close()


def test_a_question_is_answered_with_its_figures(visitor: Visitor) -> None:
    visitor.ask("What is 17 + 25?")
    visitor.wait_for_reply("17 + 25 = 42")
    expect(visitor.page.locator("#chat .figures")).to_contain_text("tokens/s")
    expect(visitor.page.locator("#meter [role=meter]")).to_have_attribute("aria-valuemax", "2048")
    visitor.settings()
    expect(visitor.page.locator("#plot svg")).to_be_visible()


def test_a_reply_is_shown_while_it_is_written(patient: Visitor) -> None:
    patient.ask("Count from 1 to 200.")
    seen = set()
    while patient.page.locator("#chat .figures").count() == 0:
        shown = patient.page.locator("#chat .bot.message").all_inner_texts()
        seen.add(shown[-1] if shown else "")
    assert len(seen) > 3
    patient.wait_for_reply("1, 2, 3, 4, 5")


@pytest.mark.parametrize("how", ["button", "Escape"])
def test_a_reply_is_stopped_and_what_there_is_of_it_stays(patient: Visitor, how: str) -> None:
    patient.ask("Count from 1 to 200.")
    expect(patient.page.locator("#chat .bot.message").last).to_contain_text("1, 2, 3", timeout=15_000)
    if how == "button":
        patient.page.locator("#message .stop-button").click()
    else:
        patient.page.keyboard.press("Escape")
    patient.wait_for_reply("1, 2, 3")
    expect(patient.page.locator("#chat .figures")).to_contain_text("stopped")
    patient.ask("What is 5 + 6?")
    patient.wait_for_reply("5 + 6 = 11", 2)


def test_a_new_conversation_ends_the_reply_of_the_old_one(patient: Visitor) -> None:
    patient.ask("Count from 1 to 200.")
    expect(patient.page.locator("#chat .bot.message").last).to_contain_text("1, 2, 3", timeout=15_000)
    patient.page.locator("#new").click()
    expect(patient.page.locator("#chat .message")).to_have_count(0)
    patient.page.wait_for_timeout(1500)
    expect(patient.page.locator("#chat .message")).to_have_count(0)
    patient.ask("What is 5 + 6?")
    patient.wait_for_reply("5 + 6 = 11")
    patient.page.locator("#conversations label").filter(has_text="Count").click()
    expect(patient.page.locator("#chat .bot.message").last).to_contain_text("1, 2, 3")


def test_a_reply_is_written_again(visitor: Visitor) -> None:
    visitor.ask("What is 5 + 6?")
    visitor.wait_for_reply("5 + 6 = 11")
    visitor.page.get_by_label("Retry", exact=False).last.click()
    visitor.wait_for_reply("5 + 6 = 11")
    expect(visitor.page.locator("#chat .user.message")).to_have_count(1)


def test_a_question_is_edited_and_answered_anew(visitor: Visitor) -> None:
    for question, answer, count in (("What is 5 + 6?", "11", 1), ("What is 7 + 8?", "15", 2)):
        visitor.ask(question)
        visitor.wait_for_reply(answer, count)
    visitor.page.get_by_label("Edit", exact=False).first.click()
    box = visitor.page.locator("#chat textarea")
    box.fill("What is 20 + 30?")
    visitor.page.get_by_label("Submit", exact=False).first.click()
    visitor.wait_for_reply("20 + 30 = 50", 1)
    expect(visitor.page.locator("#chat .user.message")).to_have_count(1)


def test_the_last_exchange_is_taken_back(visitor: Visitor) -> None:
    visitor.ask("What is 5 + 6?")
    visitor.wait_for_reply("11")
    visitor.page.get_by_label("Undo", exact=False).last.click()
    expect(visitor.input).to_have_value("What is 5 + 6?")
    expect(visitor.page.locator("#chat .user.message")).to_have_count(0)


def test_a_conversation_is_cleared(visitor: Visitor) -> None:
    visitor.ask("What is 5 + 6?")
    visitor.wait_for_reply("11")
    visitor.page.get_by_label("Clear", exact=False).first.click()
    expect(visitor.page.locator("#chat .message")).to_have_count(0)
    visitor.ask("What is 7 + 8?")
    visitor.wait_for_reply("15")


def test_a_tool_call_is_a_step_that_folds(visitor: Visitor) -> None:
    visitor.settings()
    visitor.page.get_by_label("get_time").check()
    visitor.ask("What time is it in Tokyo?")
    visitor.wait_for_reply("The result is")
    step = visitor.page.locator("#chat").get_by_text("Tool: get_time")
    expect(step).to_be_visible()
    if not visitor.page.locator("#chat").get_by_text('"city"').is_visible():
        step.click()
    expect(visitor.page.locator("#chat").get_by_text("Arguments")).to_be_visible()
    expect(visitor.page.locator("#chat").get_by_text('"Tokyo"')).to_be_visible()
    expect(visitor.page.locator("#chat").get_by_text('"time"')).to_be_visible()


def test_a_document_is_answered_from(visitor: Visitor, tmp_path: Path) -> None:
    file = tmp_path / "garage.txt"
    file.write_text(STORY, encoding="utf-8")
    visitor.page.locator("#message input[type=file]").set_input_files(str(file))
    expect(visitor.page.get_by_label("Remove file")).to_be_visible(timeout=15_000)
    visitor.ask("What is the code of the garage?")
    visitor.wait_for_reply("The code of the garage is 4821.")
    expect(visitor.page.locator("#chat .user.message").first).to_contain_text("of the context's 2,048")


def test_a_file_that_is_no_document_is_told(visitor: Visitor, tmp_path: Path) -> None:
    file = tmp_path / "broken.pdf"
    file.write_bytes(b"no pdf at all")
    visitor.page.locator("#message input[type=file]").set_input_files(str(file))
    expect(visitor.page.get_by_label("Remove file")).to_be_visible(timeout=15_000)
    visitor.ask("What is it about?")
    expect(visitor.page.get_by_text("is no PDF that can be read")).to_be_visible(timeout=15_000)


def test_the_language_and_the_theme_change(visitor: Visitor) -> None:
    visitor.settings()
    visitor.page.get_by_label("中文").check()
    expect(visitor.page.locator("#new")).to_have_text("新对话")
    expect(visitor.page.locator("#meter")).to_contain_text("上下文")
    expect(visitor.page.get_by_text("从1数到20。")).to_be_visible()
    dark = visitor.page.evaluate("document.body.classList.contains('dark')")
    visitor.page.locator("#theme").click()
    assert visitor.page.evaluate("document.body.classList.contains('dark')") is not dark
    visitor.page.reload()
    expect(visitor.input).to_be_editable(timeout=15_000)
    expect(visitor.page.locator("#status")).to_contain_text("openvino_genai", timeout=15_000)
    assert visitor.page.evaluate("document.body.classList.contains('dark')") is not dark


def test_the_system_prompt_and_the_sampling_are_obeyed(visitor: Visitor) -> None:
    visitor.settings()
    visitor.page.locator("#system textarea").fill("Always answer in Chinese.")
    most = visitor.page.locator("#max-new-tokens input[type=number]")
    before = most.input_value()
    visitor.ask("Hello")
    visitor.wait_for_reply("你好")
    most.fill("16")
    most.press("Tab")
    visitor.ask("Count from 1 to 59.")
    expect(visitor.page.locator("#chat .figures").last).to_contain_text("cut off at the limit", timeout=15_000)
    visitor.page.locator("#reset").click()
    expect(most).to_have_value(before)


def test_two_people_do_not_see_each_other(browser: Browser, address: str) -> None:
    one, other = Visitor(browser, address), Visitor(browser, address)
    one.ask("My name is Mira.")
    other.ask("My name is Omar.")
    one.wait_for_reply("Mira")
    other.wait_for_reply("Omar")
    one.ask("What is my name?")
    one.wait_for_reply("Your name is Mira.", 2)
    assert "Mira" not in other.page.content() and "Omar" not in one.page.content()
    other.page.reload()
    expect(other.page.locator("#conversations label")).to_have_count(1, timeout=15_000)
    one.close()
    other.close()


def test_conversations_stay_and_are_renamed_saved_and_deleted(visitor: Visitor) -> None:
    visitor.ask("My name is Mira.")
    visitor.wait_for_reply("Mira")
    visitor.page.locator("#new").click()
    expect(visitor.page.locator("#chat .message")).to_have_count(0)
    visitor.ask("What is 5 + 6?")
    visitor.wait_for_reply("11")
    visitor.page.reload()
    labels = visitor.page.locator("#conversations label")
    expect(labels).to_have_count(2, timeout=15_000)
    labels.filter(has_text="My name").click()
    visitor.wait_for_reply("Nice to meet you, Mira!")
    visitor.page.locator("#title input, #title textarea").fill("Names")
    visitor.page.locator("#rename").click()
    expect(labels.filter(has_text="Names")).to_have_count(1)
    for button, ending in (("#as-json", ".json"), ("#as-markdown", ".md")):
        with visitor.page.expect_download() as download:
            visitor.page.locator(button).click()
        assert download.value.suggested_filename == f"Names{ending}"
        assert "Nice to meet you, Mira!" in Path(download.value.path()).read_text(encoding="utf-8")
    visitor.ask("What is my name?")
    visitor.wait_for_reply("Your name is Mira.", 2)
    visitor.page.locator("#delete").click()
    expect(visitor.page.locator("#delete-yes")).to_have_text("Delete it for good: Names")
    visitor.page.locator("#delete-no").click()
    expect(visitor.page.locator("#delete-yes")).to_be_hidden()
    expect(labels).to_have_count(2)
    visitor.page.locator("#delete").click()
    visitor.page.locator("#delete-yes").click()
    expect(labels).to_have_count(1)


def test_one_person_has_the_same_conversations_in_each_tab_and_under_each_name(
    browser: Browser, nano: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLM4_CACHE", str(tmp_path / "cache"))
    with server(nano, tmp_path, "--host", "127.0.0.1") as address:
        one = Visitor(browser, address)
        one.ask("My name is Mira.")
        one.wait_for_reply("Mira")
        other = Visitor(browser, address.replace("127.0.0.1", "localhost"))
        other.wait_for_reply("Nice to meet you, Mira!")
        other.ask("What is 5 + 6?")
        other.wait_for_reply("5 + 6 = 11", 2)
        one.ask("What is my name?")
        one.wait_for_reply("Your name is Mira.", 3)
        expect(one.page.get_by_text("went on in another tab")).to_be_visible()
        with one.page.expect_download() as download:
            one.page.locator("#as-json").click()
        one.page.locator("#bring input[type=file], input[type=file][accept='.json']").first.set_input_files(
            download.value.path().rename(tmp_path / "talk.json")
        )
        expect(one.page.locator("#conversations label")).to_have_count(2)
        one.wait_for_reply("Your name is Mira.", 3)
        file = tmp_path / "large.txt"
        file.write_bytes(b"word " * (5 << 20))
        one.page.locator("#message input[type=file]").set_input_files(str(file))
        expect(one.page.get_by_text("maximum allowed size")).to_be_visible(timeout=15_000)
        file.write_bytes(b"never sent")
        other.page.locator("#message input[type=file]").set_input_files(str(file))
        expect(other.page.get_by_label("Remove file")).to_be_visible(timeout=15_000)
        assert list((tmp_path / "cache" / "uploads").rglob("*.txt"))
        one.close()
        other.close()
    assert not list((tmp_path / "cache" / "uploads").rglob("*.txt"))  # the server was told to end


def test_another_site_can_not_use_the_page(browser: Browser, nano: Path, tmp_path: Path) -> None:
    """Not even one at another port of this machine, which browsers take for the same site."""
    send = """async (target) => {
      const send = (path) => fetch(target + path, {method: "POST", mode: "no-cors", credentials: "include",
          headers: {"content-type": "text/plain"},
          body: JSON.stringify({data: ["", "en"], fn_index: 0, session_hash: "evil"})});
      const paths = ["gradio_api/run/predict", "gradio_api/queue/join", "gradio_api/upload", "login"];
      for (const path of paths) await send(path).catch(() => 0);
      return fetch(target + "config").then((answer) => answer.status, () => "refused");
    }"""
    with server(nano, tmp_path, "--host", "127.0.0.1") as address, empty_site() as elsewhere:
        page, refused = browser.new_context().new_page(), list[int]()
        page.on("response", lambda answer: address in answer.url and refused.append(answer.status))
        page.goto(elsewhere)
        for target in (address, address.replace("127.0.0.1", "localhost")):
            assert page.evaluate(send, target) == "refused"
        assert refused and set(refused) == {403}
        page.context.close()


def test_conversations_outlive_the_server(browser: Browser, nano: Path, tmp_path: Path) -> None:
    for count in (1, 2):
        with server(nano, tmp_path, "--auth", "ada:secret") as address:
            context = browser.new_context()
            page = context.new_page()
            page.goto(address)
            page.get_by_label("username", exact=False).fill("ada")
            page.get_by_label("password", exact=False).fill("secret")
            page.get_by_role("button", name="Login").click()
            expect(page.locator("#message textarea")).to_be_editable(timeout=15_000)
            expect(page.locator("#conversations label")).to_have_count(count - 1, timeout=15_000)
            if count == 1:
                page.locator("#message textarea").fill("My name is Mira.")
                page.locator("#message textarea").press("Enter")
                expect(page.locator("#chat .figures")).to_have_count(1, timeout=15_000)
            context.close()
    assert len(list((tmp_path / "conversations" / "ada").glob("*.json"))) == 1


def test_a_reply_runs_no_script(browser: Browser, nano: Path, tmp_path: Path) -> None:
    """A conversation whose reply tries what a page might fall for, opened from disk."""
    from glm4_demos.dialogue import Dialogue, Turn

    tricks = (
        "<script>window.hit = 1</script><img src=x onerror='window.hit = 2'>"
        "<iframe srcdoc='<script>parent.hit=3</script>'></iframe>\n\n[link](javascript:window.hit=4) ![image](https://example.com/pixel.png)\n\n"
        "<a href='javascript:window.hit=5'>x</a> <svg onload='window.hit=6'>\n\n"
        "```html\n<script>window.hit = 7</script>\n```\n\n$\\href{javascript:window.hit=8}{x}$\n\n**bold** `a < b`"
    )
    figures = {"prompt_tokens": 1, "completion_tokens": 1, "truncated_messages": 0, "time_to_first_token": 1.0,
               "device": "CPU", "time_per_token": 1.0, "tokens_per_second": 1.0, "finish_reason": "stop"}  # fmt: skip
    turns = [Turn("user", tricks), Turn("assistant", tricks, figures=figures)]
    folder = tmp_path / "conversations" / "ada"
    folder.mkdir(parents=True)
    conversation = Dialogue(title="<img src=x onerror='window.hit=9'>", turns=turns)
    (folder / f"{conversation.id}.json").write_text(conversation.as_json(), encoding="utf-8")
    with server(nano, tmp_path, "--auth", "ada:secret") as address:
        context = browser.new_context()
        page, asked = context.new_page(), []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.get_by_label("username", exact=False).fill("ada")
        page.get_by_label("password", exact=False).fill("secret")
        page.get_by_role("button", name="Login").click()
        expect(page.locator("#chat .bot.message strong").first).to_have_text("bold", timeout=15_000)
        for link in page.locator("#chat a").all():
            link.click(force=True, no_wait_after=True, timeout=2000) if link.is_visible() else None
        page.wait_for_timeout(500)
        assert page.evaluate("window.hit") is None
        assert not [url for url in asked if "example.com" in url]
        context.close()


def test_another_model_is_loaded_and_a_broken_one_is_told(
    browser: Browser, nano: Path, npu_nano: Path, tmp_path: Path
) -> None:
    for source in (nano, npu_nano):
        shutil.copytree(source, tmp_path / "models" / source.name)
    broken = shutil.copytree(nano, tmp_path / "models" / "z-broken")
    (broken / "openvino_model.bin").write_bytes(b"short")
    with server(tmp_path / "models", tmp_path, "--allow-models") as address:
        visitor = Visitor(browser, address)
        expect(visitor.page.locator("#status")).to_contain_text("nano ·")
        visitor.settings()
        for name, said in (("z-broken", "has 5 bytes, not the"), ("nano-npu", "nano-npu · CPU")):
            visitor.page.locator("#models input").click()
            visitor.page.get_by_role("option", name=name).click()
            visitor.page.locator("#load").click()
            expect(visitor.page.locator("#status")).to_contain_text(said, timeout=30_000)
            visitor.ask("What is 5 + 6?")
            visitor.wait_for_reply("5 + 6 = 11", 1 + (name == "nano-npu"))
        visitor.close()


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Scripted replies, one after another, a token in a second; where `scripted.SECONDS` is set to 0, at once."""
    turn, write = threading.Lock(), ScriptedBackend.stream

    def stream(backend: ScriptedBackend, request: Request, cancelled: Callable[[], bool]) -> Iterator[int]:
        with turn:
            yield from write(backend, request, cancelled)

    monkeypatch.setattr(ScriptedBackend, "stream", stream)
    monkeypatch.setattr("scripted.SECONDS", 1.0)
    return monkeypatch


def test_more_messages_than_may_wait_are_told(browser: Browser, tmp_path: Path, slowly: pytest.MonkeyPatch) -> None:
    slowly.setenv("GLM4_DATA", str(tmp_path / "data"))
    replies = [reply_ids(f"\n{text}") for text in ("one, two, three" * 9, "the second answer", "17 + 25 = 42")]
    with page(tmp_path, replies, queue=2, host="0.0.0.0", no_auth=True) as address:
        served, waiting, refused = (Visitor(browser, address) for _ in range(3))
        served.ask("Count.")
        expect(served.page.locator("#chat .bot.message")).to_contain_text("one", timeout=30_000)
        waiting.ask("And?")
        expect(waiting.page.locator("#chat .bot.message")).to_contain_text("also being answered: 1", timeout=20_000)
        refused.ask("What is 17 + 25?")
        expect(refused.page.get_by_text("Send yours again in a moment")).to_be_visible(timeout=20_000)
        expect(refused.page.locator("#chat").get_by_text("Error")).to_be_hidden()  # it would cover the conversation
        expect(refused.input).to_have_value("What is 17 + 25?")  # nothing is lost
        slowly.setattr("scripted.SECONDS", 0.0)
        for visitor, text in ((served, "three"), (waiting, "the second answer")):
            visitor.wait_for_reply(text)
            visitor.close()
        refused.input.press("Enter")
        refused.wait_for_reply("17 + 25 = 42")
        refused.close()


def test_a_question_while_a_reply_is_written_stays_in_the_input(
    browser: Browser, tmp_path: Path, slowly: pytest.MonkeyPatch
) -> None:
    slowly.setenv("GLM4_DATA", str(tmp_path / "data"))
    with page(tmp_path, [reply_ids(f"\n{text}") for text in ("one, two, three" * 9, "17 + 25 = 42")]) as address:
        visitor = Visitor(browser, address)
        visitor.ask("Count.")
        expect(visitor.page.locator("#chat .bot.message")).to_contain_text("one", timeout=30_000)
        visitor.ask("What is 17 + 25?")
        expect(visitor.page.get_by_text("still being written")).to_be_visible(timeout=20_000)
        expect(visitor.input).to_have_value("What is 17 + 25?")
        slowly.setattr("scripted.SECONDS", 0.0)
        visitor.wait_for_reply("three")
        visitor.input.press("Enter")
        visitor.wait_for_reply("17 + 25 = 42", 2)
        assert visitor.page.locator("#chat .message").all_inner_texts()[2].strip() == "What is 17 + 25?"
        visitor.close()


def test_behind_a_proxy_at_a_path_of_its_own(browser: Browser, nano: Path, tmp_path: Path) -> None:
    with server(nano, tmp_path, "--root-path", "/chat") as address, proxy("/chat", address) as public:
        visitor = Visitor(browser, public)
        visitor.ask("What is 17 + 25?")
        visitor.wait_for_reply("17 + 25 = 42")
        visitor.close()


def test_on_a_phone_nothing_overflows(browser: Browser, address: str) -> None:
    visitor = Visitor(browser, address, viewport={"width": 390, "height": 780}, has_touch=True)
    close = visitor.page.get_by_label("sidebar", exact=False).first
    if visitor.page.locator("#new").is_visible():
        close.click()
    visitor.ask("What is 17 + 25?")
    visitor.wait_for_reply("17 + 25 = 42")
    assert visitor.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    box = visitor.input.bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390
    visitor.close()


def test_by_keyboard_alone_from_start_to_finish(visitor: Visitor) -> None:
    keyboard = visitor.page.keyboard
    visitor.page.wait_for_timeout(300)
    for _ in range(40):
        if visitor.page.evaluate("document.activeElement.matches('#message textarea')"):
            break
        keyboard.press("Tab")
    keyboard.type("What is 5 + 6?")
    keyboard.press("Shift+Enter")
    assert "\n" in visitor.input.input_value()
    keyboard.press("Backspace")
    keyboard.press("Enter")
    visitor.wait_for_reply("5 + 6 = 11")
    for _ in range(60):
        keyboard.press("Tab")
        if visitor.page.evaluate("document.activeElement.id") == "new":
            break
    keyboard.press("Enter")
    expect(visitor.page.locator("#chat .message")).to_have_count(0)


def test_axe_finds_no_serious_fault(visitor: Visitor) -> None:
    import axe_playwright_python

    source = next(Path(axe_playwright_python.__file__).parent.rglob("axe.min.js")).read_text(encoding="utf-8")
    visitor.ask("What is 17 + 25?")
    visitor.wait_for_reply("17 + 25 = 42")
    visitor.settings()
    for dark in (False, True):
        visitor.page.evaluate(f"document.body.classList.toggle('dark', {str(dark).lower()})")
        visitor.page.wait_for_timeout(400)
        visitor.page.evaluate(source)
        found = visitor.page.evaluate("axe.run()")["violations"]
        serious = [
            (fault["id"], [node["html"][:160] for node in fault["nodes"]])
            for fault in found
            if fault["impact"] in ("serious", "critical")
        ]
        assert serious == []


def test_a_closed_tab_stops_its_reply(browser: Browser, slow: str, data: Path) -> None:
    visitor = Visitor(browser, slow)
    before = set(data.rglob("*.json"))
    visitor.ask("Count from 1 to 200.")
    expect(visitor.page.locator("#chat .bot.message").last).to_contain_text("1, 2, 3", timeout=15_000)
    visitor.page.close()
    deadline = time.monotonic() + 1.5
    new = (set(data.rglob("*.json")) - before).pop()  # the question is there since it was sent
    while len(turns := json.loads(new.read_text(encoding="utf-8"))["turns"]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    reply = turns[-1]
    assert reply["role"] == "assistant" and "200" not in reply["content"] and reply["content"].startswith("1, 2, 3")
    engine = process_at(slow)
    engine.cpu_percent()
    time.sleep(0.5)
    assert engine.cpu_percent() < 30
    visitor.close()


def test_twenty_conversations_at_once(browser: Browser, address: str) -> None:
    """Twenty visitors ask before any of them looks for the answer."""
    visitors = [Visitor(browser, address) for _ in range(20)]
    for round in range(2):
        for number, visitor in enumerate(visitors):
            visitor.ask(f"What is {number + 10} + {round + 20}?")
        for number, visitor in enumerate(visitors):
            visitor.wait_for_reply(f"{number + 10} + {round + 20} = {number + round + 30}", round + 1)
    for visitor in visitors:
        visitor.close()


def test_memory_is_steady_over_two_hundred_replies(browser: Browser, nano: Path, tmp_path: Path) -> None:
    """With a short context, whose cache of prefixes is full after a few dozen replies."""
    with server(nano, tmp_path, "--context", "256") as address:
        visitor, process, sizes = Visitor(browser, address), process_at(address), []
        for number in range(200):
            if number % 10 == 0:
                visitor.page.locator("#new").click()
                expect(visitor.page.locator("#chat .message")).to_have_count(0)
            visitor.ask(f"What is {number % 50} + 7?")
            visitor.wait_for_reply(f"{number % 50} + 7 = {number % 50 + 7}", number % 10 + 1)
            sizes.append(process.memory_info().rss)
        visitor.close()
    assert max(sizes[150:]) - max(sizes[50:100]) < 8 << 20


def process_at(address: str) -> psutil.Process:
    """The process of the server at an address."""
    port = int(address.rstrip("/").rpartition(":")[2])
    return next(each for each in psutil.process_iter() if _listens(each, port))


def _listens(process: psutil.Process, port: int) -> bool:
    try:
        return any(each.laddr.port == port and each.status == "LISTEN" for each in process.net_connections())
    except psutil.Error:
        return False
