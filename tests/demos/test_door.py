"""Who is let in to the page: its names, the sites that may send to it, and the pace of logins."""

import os
from pathlib import Path

import pytest

from glm4_demos.webpage.door.logins import LoginPace, Passwords, network, read_passwords
from glm4_intel import Glm4Error
from glm4_intel.serving.names import Asked, Authority, Names


def let_in(names: Names, host: str, method: str = "POST", path: str = "/gradio_api/queue/join", **headers: str) -> bool:
    told = {name.replace("_", "-"): [value] for name, value in headers.items()} | {"host": [host]}
    return not names.refusal(Asked(method, path, told))


@pytest.mark.parametrize(
    ("host", "own", "other"),
    [
        ("127.0.0.1", ["localhost", "localhost:7860", "LOCALHOST.:80", "127.0.0.1:1", "[::1]:7860", "127.8.8.8",
                       "[::ffff:127.0.0.1]"],
         ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.1.5:7860", "0.0.0.0", "",
          "[::2]", "localhost@evil.example", "localhost:x", "a b", "::1", "[localhost]x"]),
        ("192.168.1.9", ["192.168.1.9:7860", "localhost"], ["192.168.1.5", "evil.example"]),
        ("box.lan", ["box.lan:7860", "BOX.lan"], ["box", "lan"]),
        ("0.0.0.0", ["192.168.1.5:7860", "[fe80::1]", "localhost"], ["192.168.1.6.evil.example", "evil.example"]),
        ("::", ["192.168.1.5:7860", "[fe80::1]"], ["evil.example"]),
        ("::1", ["[::1]:7860", "[0:0:0:0:0:0:0:1]"], ["[::3]"]),
    ],
)  # fmt: skip
def test_a_page_is_served_under_its_own_names(host: str, own: list[str], other: list[str]) -> None:
    names = Names(host)
    for method in ("GET", "POST", "OPTIONS", "WEBSOCKET"):
        assert [name for name in own if not let_in(names, name, method)] == []
        assert [name for name in other if let_in(names, name, method)] == []


def test_a_name_that_is_given_is_served_too() -> None:
    names = Names("127.0.0.1", ["chat.example", "other.example:9443"])
    assert let_in(names, "chat.example") and let_in(names, "chat.example:8443") and let_in(names, "other.example")
    assert not let_in(names, "sub.chat.example")
    assert let_in(names, "127.0.0.1", x_forwarded_host="chat.example")
    assert not let_in(names, "127.0.0.1", x_forwarded_host="evil.example")
    assert not names.refusal(Asked("GET", "/", {"host": ["localhost"]}))
    assert names.refusal(Asked("GET", "/", {})) and names.refusal(Asked("GET", "/", {"host": ["localhost"] * 2}))


@pytest.mark.parametrize(
    ("host", "origin", "own"),
    [
        ("localhost:7860", "http://localhost:7860", True),
        ("localhost:7860", "http://localhost:3000", False),
        ("localhost:7860", "http://127.0.0.1:7860", False),
        ("[::1]:7860", "http://[::1]:7860", True),
        ("127.0.0.1", "http://127.0.0.1", True),
        ("127.0.0.1", "http://127.0.0.1:8080", False),
        ("127.0.0.1:7860", "https://chat.example", True),
        ("127.0.0.1:7860", "https://chat.example:9444", False),
        ("127.0.0.1:7860", "https://other.example:9443", True),
        ("127.0.0.1:7860", "https://other.example", False),
        ("chat.example:9443", "https://chat.example:9443", True),
        ("chat.example:9443", "https://wiki.example:9443", False),
        ("localhost:7860", "null", False),
        ("localhost:7860", "file://", False),
        ("localhost:7860", "https://evil.example", False),
    ],
)
def test_another_origin_may_not_send(host: str, origin: str, own: bool) -> None:
    names = Names("127.0.0.1", ["chat.example", "other.example:9443"])
    for method in ("GET", "POST", "OPTIONS", "WEBSOCKET"):
        assert let_in(names, host, method, origin=origin) is own


def test_a_browser_tells_of_other_sites_and_of_a_port_that_a_proxy_changed() -> None:
    names = Names("127.0.0.1", root_path="/chat")
    for site in ("cross-site", "same-site"):
        assert not let_in(names, "localhost", sec_fetch_site=site)
        assert not let_in(names, "localhost", "GET", "/config", sec_fetch_site=site)
        assert not let_in(names, "localhost", "GET", "/logout", sec_fetch_site=site, sec_fetch_mode="navigate")
        for home in ("/", "/chat/"):  # a link or a bookmark
            assert let_in(names, "localhost", "GET", home, sec_fetch_site=site, sec_fetch_mode="navigate")
    assert let_in(names, "localhost", sec_fetch_site="none")
    through_proxy = {"origin": "http://localhost:8000", "sec_fetch_site": "same-origin"}
    assert let_in(names, "localhost:7860", **through_proxy)
    assert not let_in(names, "localhost:7860", **(through_proxy | {"origin": "http://evil.example"}))


def test_names_are_read_as_they_are_written() -> None:
    assert Authority.parse("[::1]:80") == Authority("::1", 80) and Authority.parse("A.b.") == Authority("a.b", None)
    assert Authority.of_origin("https://a.b") == Authority("a.b", 443) and Authority.of_origin("null") is None
    assert all(Authority.parse(wrong) is None for wrong in ("", "a:b", "a/b", "http://a", ":80", ".", "a:123456"))


def test_attempts_are_slowed_by_address_and_nobody_is_locked_out() -> None:
    pace = LoginPace()
    tried = [pace.attempt("1.1.1.1", now=100.0) for _ in range(20)]
    assert [wait for let, wait in tried if let] == [0, 0, 0, 0, 0, 5] and not any(let for let, _ in tried[6:])
    assert pace.attempt("1.1.1.1", now=160.0) == (True, 0)  # a minute later
    assert pace.attempt("2.2.2.2", now=100.0) == (True, 0)


def test_attempts_are_slowed_over_all_but_for_those_who_are_known_or_new() -> None:
    pace = LoginPace()
    pace.attempt("9.9.9.9", now=0.0)
    pace.succeeded("9.9.9.9")
    for number in range(100):  # a hundred machines, twice each
        assert pace.attempt(f"1.1.1.{number}", now=100.0) == (True, 0)
    again = [pace.attempt(f"1.1.1.{number}", now=100.0)[0] for number in range(100)]
    assert not any(again)
    assert pace.attempt("1.1.1.1", now=200.0) == (True, 0)  # though a thousand go on
    assert pace.attempt("9.9.9.9", now=100.0) == (True, 0) and pace.attempt("3.3.3.3", now=100.0) == (True, 0)
    assert network("2001:db8::1") == network("2001:db8::ffff") != network("2001:db8:0:1::1")
    assert network("somewhere") == "somewhere"


def test_passwords_are_read_from_a_file_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "auth"
    file.write_text("# people\n\nada:correct:horse\n智: staple\n", encoding="utf-8")
    file.chmod(0o600)
    check = Passwords(read_passwords(file))
    assert check("ada", "correct:horse") and check("智", " staple")
    assert not check("ada", "correct") and not check("nobody", "") and not check("ada", "\ud800")


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("ada:x", 0o644, "can be read or written by other users"),
        ("ada:x", 0o620, "can be read or written by other users"),
        ("ada", 0o600, "line 1, is not of the form"),
        ("ada:", 0o600, "line 1, is not of the form"),
        ("# nobody", 0o600, "names nobody"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="modes")
def test_a_file_of_passwords_that_is_refused(tmp_path: Path, text: str, mode: int, said: str) -> None:
    file = tmp_path / "auth"
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)
    with pytest.raises(Glm4Error, match=said):
        read_passwords(file)
    file.unlink()
    file.write_bytes(b"\xff:\xff")
    file.chmod(0o600)
    with pytest.raises(Glm4Error, match="no UTF-8 text"):
        read_passwords(file)
