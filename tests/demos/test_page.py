"""The page over HTTP: what two tabs, other sites, strangers and large files do to it. The model is scripted."""

import concurrent.futures
import json
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

pytest.importorskip("gradio", reason="pip install -r requirements-dev.txt")
from glm4_demos.webpage.uploads import Uploads  # noqa: E402
from glm4_intel import Glm4Error  # noqa: E402
from scripted import call_ids, reply_ids  # noqa: E402
from serving import Refused, Tab, listed, page, questions  # noqa: E402

pytestmark = pytest.mark.enable_socket
REPLIES = [reply_ids(f"\nreply {number}") for number in range(40)]


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLM4_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def address(tmp_path: Path, data: Path) -> Iterator[str]:
    with page(tmp_path, REPLIES) as address:
        yield address


def opened(address: str, browser: str = "") -> Tab:
    tab = Tab(address)
    tab.open(browser)
    return tab


def test_two_tabs_of_a_conversation_lose_no_message(address: str) -> None:
    one = opened(address)
    one.ask("first")
    two = Tab(address)
    assert questions(two.open()) == ["first"]
    one.ask("second")
    assert questions(two.ask("third")) == ["first", "second", "third"]
    assert "went on in another tab" in two.told[0]
    assert questions(one.ask("fourth")) == questions(Tab(address).open()) == ["first", "second", "third", "fourth"]


def test_what_a_tab_has_not_seen_it_can_not_take_back(address: str) -> None:
    one = opened(address)
    one.ask("first")
    two = opened(address)
    one.ask("second")
    for name in ("undo", "retry"):
        with pytest.raises(Refused, match="Choose it in the list"):
            two.call(name, None, None, "en")
    assert questions(Tab(address).open()) == ["first", "second"]
    one.call("rename", "Names", None, None, "en")
    two.ask("third")
    assert listed(two.call("rename", "Other names", None, None, "en")) == ["Other names"]
    assert questions(Tab(address).open()) == ["first", "second", "third"]


def test_one_reply_at_a_time_is_written_to_a_conversation_whatever_the_tab(address: str) -> None:
    one = opened(address)
    one.ask("first")
    two = opened(address)
    one.submit("second")
    with pytest.raises(Refused, match="still being written"):
        two.submit("third")


def test_questions_whose_answers_nobody_fetches_keep_nobody_out_for_long(tmp_path: Path) -> None:
    with page(tmp_path, REPLIES, queue=2, root_path="/chat") as address:
        for number in range(2):
            opened(address, f"{number}" * 32).submit("gone")
        visitor = opened(address, "a" * 32)
        with pytest.raises(Refused, match="Send yours again in a moment"):
            visitor.submit("here")
        time.sleep(5.5)
        assert questions(visitor.ask("here")) == ["here"]


def in_a_new_conversation(address: str, browser: str = "") -> Tab:
    tab = opened(address, browser)
    tab.call("begin", None, "en")
    return tab


def test_one_visitor_has_at_most_half_of_the_places(tmp_path: Path) -> None:
    with page(tmp_path / "shared", REPLIES, queue=4, root_path="/chat") as address:
        for _ in range(2):
            in_a_new_conversation(address, "a" * 32).submit("gone")
        with pytest.raises(Refused, match="Your other messages are being answered"):
            in_a_new_conversation(address, "a" * 32).submit("more")
        assert questions(opened(address, "b" * 32).ask("here")) == ["here"]
    with page(tmp_path / "own", REPLIES, queue=4) as address:
        for _ in range(4):
            in_a_new_conversation(address).submit("mine")


def test_a_visitor_loads_another_model_only_where_the_page_is_theirs_or_an_option_allows_it(tmp_path: Path) -> None:
    loading = ("load", str(tmp_path / "nowhere"), "CPU", "en")
    with page(tmp_path / "own", REPLIES) as address, pytest.raises(Refused, match="not in the list of choices"):
        opened(address).call(*loading)
    with page(tmp_path / "shared", REPLIES, root_path="/chat") as address, pytest.raises(StopIteration):
        opened(address).call(*loading)  # there is no such event
    with page(tmp_path / "login", REPLIES, auth=("ada", "horse"), host="127.0.0.1", root_path="/chat") as address:
        ada = Tab(address)
        ada.log_in("ada", "horse")
        ada.open()
        with pytest.raises(StopIteration):
            ada.call(*loading)
    allowed = page(tmp_path / "allowed", REPLIES, root_path="/chat", allow_models=True)
    with allowed as address, pytest.raises(Refused, match="not in the list of choices"):
        opened(address).call(*loading)


def test_a_conversation_that_was_deleted_stays_so_and_a_question_to_it_is_kept(address: str) -> None:
    one = opened(address)
    one.ask("first")
    two = opened(address)
    assert listed(one.call("delete", None, None, "en")) == []
    shown = two.ask("second")
    assert questions(shown) == ["second"] and listed(shown) == ["second"]
    assert "was deleted in another tab" in two.told[0]


def test_delete_asks_first(address: str) -> None:
    tab = opened(address)
    tab.ask("first")
    asked = tab.call("ask_to_delete", None, "en")
    assert "Delete it for good: first" in json.dumps(asked)
    assert listed(Tab(address).open()) == ["first"]


def test_clearing_the_view_leaves_the_conversation_in_the_list(address: str) -> None:
    tab = opened(address)
    tab.ask("first")
    shown = tab.call("begin", None, "en")
    assert questions(shown) == [] and listed(shown) == ["first"]


def test_a_conversation_is_there_under_each_name_of_the_machine(tmp_path: Path, data: Path) -> None:
    with page(tmp_path, REPLIES) as address:
        opened(address, "a" * 32).ask("first")
        assert questions(Tab(address.replace("127.0.0.1", "localhost")).open("b" * 32)) == ["first"]
    files = [each for each in data.rglob("*") if each.is_file()]
    assert files and os.name == "nt" or {each.stat().st_mode & 0o777 for each in files} == {0o600}
    folders = [each for each in data.rglob("*") if each.is_dir()]
    assert os.name == "nt" or {each.stat().st_mode & 0o777 for each in folders} == {0o700}


VISITOR = """
import json, os, sys
from serving import Tab, questions
Tab(sys.argv[2]).client.get("/config")  # all that is imported while it may be read
os.setuid(int(sys.argv[1]))
print(json.dumps(questions(Tab(sys.argv[2]).open(sys.argv[3]))))
"""


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can be somebody else")
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the system does not tell whose a connection is")
def test_somebody_else_on_this_machine_is_a_stranger(address: str) -> None:
    opened(address, "a" * 32).ask("first")
    for name in (address, address.replace("127.0.0.1", "localhost")):
        for user, seen in ((0, ["first"]), (65534, [])):
            command = [sys.executable, "-c", VISITOR, str(user), name, "b" * 32]
            path = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
            assert json.loads(subprocess.check_output(command, env={**os.environ, "PYTHONPATH": path})) == seen
    forged = Tab(address, **{"x-glm4-ours": "1", "x-forwarded-for": "10.0.0.1"})
    assert questions(forged.open("b" * 32)) == []


@pytest.mark.parametrize("options", [{"allowed_hosts": ("chat.example",)}, {"root_path": "/chat"}])
def test_behind_a_proxy_browsers_are_different_people(tmp_path: Path, options: dict[str, object]) -> None:
    with page(tmp_path, REPLIES, **options) as address:
        opened(address, "a" * 32).ask("first")
        assert questions(Tab(address).open("b" * 32)) == [] and questions(Tab(address).open("a" * 32)) == ["first"]


def test_conversations_of_earlier_versions_are_taken_over(address: str) -> None:
    from glm4_demos.dialogue import Dialogue, Turn
    from glm4_demos.store import Store

    Store("a" * 32).save(Dialogue(title="Old", turns=[Turn("user", "first")]))
    assert questions(Tab(address).open("a" * 32)) == ["first"]


def test_people_who_log_in_have_conversations_of_their_own(tmp_path: Path) -> None:
    auth = tmp_path / "auth"
    auth.write_text("bob:staple\n", encoding="utf-8")
    auth.chmod(0o600)
    with page(tmp_path, REPLIES, auth=("ada", "horse"), auth_file=auth) as address:
        ada, bob, stranger = Tab(address), Tab(address), Tab(address)
        assert ada.log_in("ada", "horse") == bob.log_in("bob", "staple") == 200
        assert stranger.log_in("ada", "staple") == 400 and stranger.client.get("/config").status_code == 401
        ada.open()
        ada.ask("first")
        assert questions(bob.open()) == []


def test_attempts_to_log_in_are_slowed_and_their_victim_is_not_locked_out(tmp_path: Path) -> None:
    with page(tmp_path, REPLIES, auth=("ada", "horse")) as address:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda word: Tab(address).log_in("ada", str(word)), range(30)))
        assert answers.count(400) <= 8 and answers.count(429) >= 22
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            wrong = {"username": "ada", "password": "x"}
            told = list(pool.map(lambda _: Tab(address).client.post("/login", data=wrong), range(4)))
        refused = next(each for each in told if each.status_code == 429)
        assert "Try again in" in refused.text and int(refused.headers["retry-after"]) <= 60
        deadline = time.monotonic() + 30
        while Tab(address).log_in("ada", "horse") != 200:
            assert time.monotonic() < deadline
            time.sleep(1)


ROUTES = [("GET", "/"), ("GET", "/config"), ("POST", "/gradio_api/queue/join"), ("GET", "/gradio_api/queue/data"),
          ("POST", "/gradio_api/run/predict"), ("POST", "/gradio_api/upload"), ("OPTIONS", "/gradio_api/upload"),
          ("GET", "/gradio_api/heartbeat/x"), ("POST", "/login"), ("GET", "/logout"), ("GET", "/gradio_api/file=x"),
          ("POST", "/gradio_api/cancel"), ("GET", "/assets/x.js"), ("GET", "/nowhere")]  # fmt: skip


def test_every_route_is_guarded(address: str) -> None:
    """Both against names that others have pointed at this machine, and against other sites' scripts."""
    with httpx.Client(base_url=address) as client:
        for method, path in ROUTES:
            for headers in ({"host": "evil.example:7860"}, {"origin": "https://evil.example"}, {"origin": "null"},
                            {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}):  # fmt: skip
                preflight = {"access-control-request-method": "POST"} if method == "OPTIONS" else {}
                answer = client.request(method, path, headers=headers | preflight)
                assert answer.status_code == 403, (method, path, headers)
                assert len(answer.text.splitlines()) == 1 and "access-control-allow-origin" not in answer.headers
                assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("host", ["::1", "0.0.0.0"])
def test_other_addresses_to_listen_on(tmp_path: Path, host: str) -> None:
    with page(tmp_path, REPLIES, host=host, no_auth=True) as address:
        assert questions(opened(address, "a" * 32).ask("first")) == ["first"]
        assert httpx.get(f"{address}/config", headers={"host": "evil.example"}).status_code == 403


def test_python_is_offered_only_where_an_option_allows_it(tmp_path: Path) -> None:
    replies = [call_ids("python", "print(6 * 7)"), reply_ids("\n42")]
    with page(tmp_path / "without", replies) as address, pytest.raises(Refused, match="not in the list of choices"):
        opened(address).ask("What is 6 * 7?", tools=["python"])
    with page(tmp_path / "with", replies, allow_python=True) as address:
        shown = opened(address).ask("What is 6 * 7?", tools=["python"])
        assert "Tool: python" in json.dumps(shown["chat"])


def test_more_than_the_page_takes_is_refused_in_a_line(tmp_path: Path) -> None:
    with page(tmp_path, REPLIES, max_upload=1) as address:
        tab = opened(address)
        with pytest.raises(Refused, match=r"413 .*larger than the 1 MB"):
            tab.upload("big.txt", b"x" * (3 << 19))
        pieces = (b"x" * 100_000 for _ in range(60))  # whose sum nobody has announced
        answer = tab.client.post("/gradio_api/queue/join", content=pieces)
        assert answer.status_code == 413 and "larger than the 4 MB" in answer.text
        assert questions(tab.ask("first")) == ["first"]


def bomb(size: int) -> bytes:
    """A PDF of a few kilobytes that holds `size` bytes."""
    packed = zlib.compress(zlib.compress(b"0 " * (size // 2), 9), 9)
    objects = (
        b"1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj "
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>endobj "
        b"4 0 obj<</Length " + str(len(packed)).encode() + b"/Filter[/FlateDecode/FlateDecode]>>stream\n"
    )
    return b"%PDF-1.4\n" + objects + packed + b"\nendstream endobj\ntrailer<</Root 1 0 R>>\n"


def test_a_large_document_holds_up_nobody(address: str) -> None:
    one, other = opened(address), opened(address)
    file, waits = one.upload("bomb.pdf", bomb(400_000_000)), []
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        reading = pool.submit(one.submit, "What is it about?", file)
        while not reading.done():
            began = time.monotonic()
            other.call("begin", None, "en")
            waits.append(time.monotonic() - began)
    with pytest.raises(Refused, match="bomb.pdf"):
        reading.result()
    assert max(waits) < 2


def test_a_file_is_removed_when_it_is_sent_and_with_the_server(tmp_path: Path) -> None:
    with page(tmp_path, REPLIES) as address:
        tab = opened(address)
        sent, left = tab.upload("a.txt", b"The code is 4821."), tab.upload("b.txt", b"Nobody sends this.")
        assert questions(tab.ask("What is the code?", sent))[-1] == "What is the code?"
        assert not Path(sent).exists() and Path(left).exists()
        with pytest.raises(Refused, match="not there any more"):
            tab.submit("Again?", sent)
        elsewhere = tmp_path / "scripted" / "glm4.json"
        with pytest.raises(Refused):
            tab.submit("What is in it?", str(elsewhere))
    assert not Path(left).exists() and elsewhere.exists()


def test_uploads_of_a_server_that_was_killed_are_removed_and_others_stay(tmp_path: Path) -> None:
    killed, running = Uploads(1 << 20, tmp_path), Uploads(1 << 20, tmp_path)
    assert killed._lock and running.folder.is_dir()
    killed._lock.close()  # as the system does when a process ends
    (killed.folder / "x.txt").write_text("x", encoding="utf-8")
    Uploads(1 << 20, tmp_path).close()
    assert not killed.folder.exists() and running.folder.is_dir()
    (running.folder / "x.txt").write_bytes(b"x" * (10 << 20))
    assert not running.has_room()
    os.utime(running.folder / "x.txt", (0, 0))
    assert running.has_room() and not (running.folder / "x.txt").exists()
    with pytest.raises(Glm4Error, match="not there any more"):
        running.checked(__file__)
    running.close()


def test_a_saved_conversation_is_brought_in_as_one_of_its_own(address: str) -> None:
    tab = opened(address)
    tab.ask("first")
    saved = tab.call("save_json", None)
    text = next(each for each in saved.values() if str(each).startswith("{"))
    file = tab.upload("talk.json", text.encode())
    shown = tab.call("bring", {"path": file, "meta": {"_type": "gradio.FileData"}}, None, "en")
    assert questions(shown) == ["first"] and listed(shown) == ["first", "first"] and not Path(file).exists()
    for wrong in (b"\xff", b"[", b"{}", b'{"turns": [{"role": "system", "content": 1}]}', b"[" * 100_000):
        file = tab.upload("wrong.json", wrong)
        with pytest.raises(Refused, match="no saved conversation|can't be read as UTF-8"):
            tab.call("bring", {"path": file, "meta": {"_type": "gradio.FileData"}}, None, "en")


def test_half_a_character_is_no_reason_to_fail(address: str) -> None:
    tab = opened(address)
    assert questions(tab.ask("half \ud83d of one")) == ["half \ufffd of one"]
    assert questions(Tab(address).open()) == ["half \ufffd of one"]


def test_a_page_that_an_earlier_server_opened_is_told_to_reload(address: str) -> None:
    tab = opened(address)
    tab.session = "another"
    with pytest.raises(Refused, match="Reload the page"):
        tab.submit("first")


def test_a_disk_that_takes_nothing_loses_no_message(address: str, data: Path) -> None:
    tab = opened(address)
    tab.ask("first")
    moved = data.rename(data.with_name("moved"))
    data.write_text("no folder", encoding="utf-8")
    assert questions(tab.ask("second")) == ["first", "second"]
    assert "could not be saved" in tab.told[0]
    data.unlink()
    moved.rename(data)
    tab.ask("third")
    assert questions(Tab(address).open()) == ["first", "second", "third"]
