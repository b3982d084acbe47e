"""Values that no page of ours sends: refused in a line, and nothing of it stands on the server's stderr."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio")

from scripted import reply_ids  # noqa: E402
from serving import Refused, Tab, page, questions  # noqa: E402

pytestmark = pytest.mark.enable_socket


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("GLM4_DATA", str(tmp_path / "data"))
    with page(tmp_path, [reply_ids("\nHello!")] * 20) as served:
        yield served


ODD: list[Any] = ["nonsense", 10**400, -1, 1.5, [], ["x"], {"a": 1}, True]
CALLS: dict[str, tuple[str, list[Any]]] = {  # by the value that is odd: its event, and right values around None
    "language": ("finish", [None, None, ...]),
    "tools": ("answer", [None, None, ..., "en", 0, 1, 0, 64, 1, 1]),
    "temperature": ("answer", [None, None, [], "en", ..., 1, 0, 64, 1, 1]),
    "seed": ("answer", [None, None, [], "en", 0, 1, 0, 64, 1, ...]),
    "message": ("submit", [..., None, None, "", "en"]),
    "conversation": ("choose", [..., None, "en"]),
    "model": ("load", [..., "CPU", "en"]),
    "device": ("load", ["nowhere", ..., "en"]),
    "file": ("bring", [..., None, "en"]),
    "title": ("rename", [..., None, None, "en"]),
    "browser": ("open_page", [..., "en"]),
}


@pytest.mark.parametrize("name", CALLS)
def test_odd_values_are_refused_without_a_traceback(address: str, capfd: pytest.CaptureFixture[str], name: str) -> None:
    tab = Tab(address)
    tab.open()
    tab.ask("first")
    event, values = CALLS[name]
    for odd in ODD:
        try:
            tab.call(event, *(odd if value is ... else value for value in values))
        except Refused as refused:
            assert "\n" not in str(refused) and "Traceback" not in str(refused)
    assert capfd.readouterr().err == ""
    assert questions(tab.ask("second"))[-1] == "second"
