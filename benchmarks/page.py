"""What the web page costs: decode time of 256 tokens behind it, to that of `chat --prompt`; and how soon it is ready.

    python benchmarks/page.py DIR

The real server and a real headless Chromium on the same machine, in turn with `glm4-intel chat` in a process of its
own; each greedy, each by the figures that it shows. Ready means that the page can be typed into.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from environment import environment
from serving import web

QUESTION, TOKENS, PORT = "Count from 1 to 200.", 256, 7899


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=12)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as data, web(args.model, Path(data), PORT), sync_playwright() as started:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        ready = [_open(browser.new_page()) for _ in range(4)][1:]
        _compare(browser.new_page(), args.model, Path(data), args.rounds)
        print(f"ready to type: median {statistics.median(ready):.2f} s of {len(ready)}, worst {max(ready):.2f} s")


def _compare(page: Page, model: Path, data: Path, rounds: int) -> None:
    _open(page)
    page.locator("#settings > button").click()
    for name, value in (("temperature", 0), ("max-new-tokens", TOKENS)):
        page.locator(f"#{name} input[type=number]").fill(str(value))
        page.locator(f"#{name} input[type=number]").press("Tab")
    times: dict[str, list[float]] = {"page": [], "chat --prompt": []}
    for index in range(rounds + 1):
        pair = {"page": _ask(page, data), "chat --prompt": _chat(model)}
        if index:  # the first round warms up
            for name, seconds in pair.items():
                times[name].append(seconds)
    print(environment())
    ratios = [a / b for a, b in zip(*times.values(), strict=True)]
    for name, values in times.items():
        print(f"{name:14} median {statistics.median(values) * 1000:.3f} ms a token, best {min(values) * 1000:.3f}")
    print(f"the page to chat: median of the rounds {statistics.median(ratios):.3f}, of the medians "
          f"{statistics.median(times['page']) / statistics.median(times['chat --prompt']):.3f}")  # fmt: skip


def _ask(page: Page, data: Path) -> float:
    """Seconds a token of a reply behind the page, in a conversation of its own."""
    page.locator("#new").click()
    page.wait_for_function("!document.querySelector('#chat .message')")
    page.locator("#message textarea").fill(QUESTION)
    page.locator("#message textarea").press("Enter")
    page.wait_for_selector("#chat .figures", timeout=600_000)
    newest = max(data.rglob("*.json"), key=lambda file: file.stat().st_mtime)
    figures = json.loads(newest.read_text(encoding="utf-8"))["turns"][-1]["figures"]
    assert figures["completion_tokens"] == TOKENS
    return float(figures["time_per_token"])


def _chat(model: Path) -> float:
    command = [sys.executable, "-m", "glm4_intel.cli", "chat", str(model), "--prompt", QUESTION, "--temperature", "0",
               "--max-new-tokens", str(TOKENS), "--json"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout)["timing"]["time_per_token"])


def _open(page: Page) -> float:
    started = time.perf_counter()
    page.goto(f"http://127.0.0.1:{PORT}/")
    page.wait_for_selector("#message textarea:enabled")
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
