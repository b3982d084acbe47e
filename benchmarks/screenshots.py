"""Pictures of the web page in its main states, taken from the real page over the nano model.

    python benchmarks/screenshots.py DIR           # into demos/screenshots/

Needs Chromium, and for Chinese a font that has it (Debian: chromium, fonts-noto-cjk).
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from serving import web

FOLDER = Path(__file__).parent.parent / "demos/screenshots"
STORY = "The code of the garage is 4821. Nobody spoke for a long while. Mira lives in Oslo. The train left at noon."
PORT = 7898
WIDE, PHONE = {"width": 1200, "height": 820}, {"width": 390, "height": 780}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    args = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as data, web(args.model, Path(data), PORT), sync_playwright() as started:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        for name, (size, act) in STATES.items():
            _take(browser, name, size, act)


def conversation(page: Page) -> None:
    for question in ("Hello, who are you?", "What is 17 + 25?"):
        _ask(page, question)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "garage.txt"
        file.write_text(STORY, encoding="utf-8")
        page.locator("#message input[type=file]").set_input_files(str(file))
        page.get_by_label("Remove file").wait_for()
        _ask(page, "What is the code of the garage?")


def tools_dark_chinese(page: Page) -> None:
    page.locator("#settings > button").click()
    page.get_by_label("中文").check()
    page.locator("#theme").click()
    page.get_by_label("get_time").check()
    page.locator("#settings > button").click()
    _ask(page, "你好，请介绍一下你自己。")
    _ask(page, "What time is it in Tokyo?")


def settings(page: Page) -> None:
    _ask(page, "Count from 1 to 20.")
    _ask(page, "What is 8 * 7?")
    page.locator("#settings > button").click()
    page.wait_for_timeout(500)
    page.locator("#plot").scroll_into_view_if_needed()


def phone(page: Page) -> None:
    if page.locator("#new").is_visible():
        page.get_by_label("sidebar", exact=False).first.click()
    _ask(page, "What is 17 + 25?")


STATES: dict[str, tuple[dict, Callable[[Page], None]]] = {
    "empty": (WIDE, lambda page: None),
    "conversation": (WIDE, conversation),
    "tools": (WIDE, tools_dark_chinese),
    "settings": (WIDE, settings),
    "phone": (PHONE, phone),
}


def _take(browser: Browser, name: str, size: dict, act: Callable[[Page], None]) -> None:
    context = browser.new_context(viewport=size)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{PORT}/")
    page.wait_for_selector("#message textarea:enabled")
    act(page)
    page.wait_for_timeout(800)
    page.screenshot(path=FOLDER / f"{name}.png")
    context.close()
    print(FOLDER / f"{name}.png")


def _ask(page: Page, text: str) -> None:
    count = page.locator("#chat .figures").count()
    page.locator("#message textarea").fill(text)
    page.locator("#message textarea").press("Enter")
    page.wait_for_function(f"document.querySelectorAll('#chat .figures').length > {count}")
    page.wait_for_selector("#message textarea:enabled")


if __name__ == "__main__":
    main()
