"""The tool loop, on the nano model; functions as tools; code in its cage; documents in pages."""

import dataclasses
import functools
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import pypdf
import pytest

from conftest import ask
from glm4_intel import Glm4Error, Runtime
from glm4_intel.agent import Called, Finished, Observed, Tool, Wrote, run, tool
from glm4_intel.agent.documents import Document
from glm4_intel.agent.python_tool import Limits, python_tool, run_python


def get_weather(city: str) -> dict[str, Any]:
    """Get the current weather

    city: The city
    """
    return {"weather": "sunny" if city.isascii() else "晴", "temperature": 21}


def find_price(item: str) -> str:
    """Get the price of something

    item: The item
    """
    return "17"


GREEDY = {"temperature": 0}


def finished(events: list) -> Finished:
    assert isinstance(events[-1], Finished)
    return events[-1]


@pytest.mark.parametrize(
    ("question", "city", "answer"),
    [
        ("What is the weather in Oslo?", "Oslo", "It is sunny and 21 °C."),
        ("北京的天气怎么样？", "北京", "天气晴，21 °C。"),
    ],
)
def test_a_question_that_takes_a_tool(glm: Runtime, question: str, city: str, answer: str) -> None:
    events = list(run(glm, ask(question), [get_weather, find_price], **GREEDY))
    (called,) = [event for event in events if isinstance(event, Called)]
    (observed,) = [event for event in events if isinstance(event, Observed)]
    assert called.call.name == "get_weather" and called.call.arguments == {"city": city}
    assert json.loads(observed.content)["temperature"] == 21 and not observed.failed
    end = finished(events)
    assert end.reply.text == answer and end.reason == "stop"
    assert "".join(event.chunk.text for event in events if isinstance(event, Wrote)) == answer
    assert [message["role"] for message in end.messages] == ["user", "assistant", "tool", "assistant"]


def test_a_question_that_takes_none(glm: Runtime) -> None:
    events = list(run(glm, ask("What is 17 + 25?"), [get_weather], **GREEDY))
    assert finished(events).reply.text == "17 + 25 = 42"
    assert not [event for event in events if isinstance(event, Called)]


def test_no_tools_at_all(glm: Runtime) -> None:
    assert finished(list(run(glm, ask("What is 17 + 25?"), [], **GREEDY))).reply.text == "17 + 25 = 42"


def observation_of(glm: Runtime, function: Any, **options: Any) -> Observed:
    events = list(run(glm, ask("What is the weather in Oslo?"), [function], **options, **GREEDY))
    return next(event for event in events if isinstance(event, Observed))


def test_what_a_tool_raises_is_told_to_the_model(glm: Runtime) -> None:
    def get_weather(city: str) -> str:
        """Get the current weather"""
        raise ConnectionError("no route to the station")

    observed = observation_of(glm, get_weather)
    assert observed.failed and json.loads(observed.content) == {"error": "ConnectionError: no route to the station"}


def test_arguments_that_do_not_fit_are_told_to_the_model(glm: Runtime) -> None:
    def get_weather(city: Literal["Rome", "Paris"]) -> str:
        """Get the current weather"""
        raise AssertionError("must not be called")

    observed = observation_of(glm, get_weather)
    assert observed.failed and "city: Input should be 'Rome' or 'Paris'" in observed.content


def test_a_tool_that_takes_too_long(glm: Runtime) -> None:
    def get_weather(city: str) -> str:
        """Get the current weather"""
        time.sleep(5)
        return "late"

    started = time.perf_counter()
    observed = observation_of(glm, get_weather, tool_timeout=0.2)
    assert observed.failed and "no answer within 0.2 seconds" in observed.content
    assert time.perf_counter() - started < 3


def test_an_empty_result_is_told_as_one(glm: Runtime) -> None:
    def get_weather(city: str) -> str:
        """Get the current weather"""
        return ""

    assert json.loads(observation_of(glm, get_weather).content) == {"error": "no output"}


def test_a_limit_on_rounds(glm: Runtime) -> None:
    """Made to call each time, the model is stopped after the rounds that it may have."""
    events = list(
        run(glm, ask("What is the weather in Oslo?"), [get_weather], max_rounds=2, tool_choice="required", **GREEDY)
    )
    assert finished(events).reason == "max_rounds"
    assert len([event for event in events if isinstance(event, Observed)]) == 2


def test_cancellation_in_a_tool(glm: Runtime) -> None:
    cancel = threading.Event()

    def get_weather(city: str) -> str:
        """Get the current weather"""
        cancel.set()
        time.sleep(5)
        return "late"

    started = time.perf_counter()
    events = list(run(glm, ask("What is the weather in Oslo?"), [get_weather], cancel=cancel, **GREEDY))
    assert finished(events).reason == "cancelled" and time.perf_counter() - started < 3


@pytest.mark.parametrize("options", [{"max_rounds": 0}, {"tool_timeout": 0}])
def test_limits_that_make_no_sense(glm: Runtime, options: dict[str, Any]) -> None:
    with pytest.raises(Glm4Error, match="max_rounds is . and tool_timeout") as raised:
        list(run(glm, ask("x"), [], **options))
    assert raised.value.hint == "Both must be more than 0."


class Colour(Enum):
    RED = "red"


def test_a_declaration_from_signature_and_docstring() -> None:
    def book(
        room: int, guests: list[str], late: bool = False, colour: Colour = Colour.RED, note: str | None = None
    ) -> str:
        """Book a room
        in the hotel.

        More that the model need not know.

        Args:
            room (int): The room's number
            guests: Who comes
        """
        return f"{room} {guests} {late} {colour} {note}"

    made = tool(book)
    function = made.declaration()["function"]
    assert function["name"] == "book" and function["description"] == "Book a room in the hotel."
    properties = function["parameters"]["properties"]
    assert properties["room"] == {"type": "integer", "description": "The room's number"}
    assert properties["guests"] == {"type": "array", "items": {"type": "string"}, "description": "Who comes"}
    assert function["parameters"]["required"] == ["room", "guests"]
    assert made.call({"room": "3", "guests": ["Mira"]}) == "3 ['Mira'] False Colour.RED None"
    with pytest.raises(ValueError, match="guests: Field required"):
        made.call({"room": 3})
    with pytest.raises(ValueError, match="other: Extra inputs are not permitted"):
        made.call({"room": 3, "guests": [], "other": 1})


def test_functions_that_can_be_no_tools() -> None:
    def untyped(city):  # type: ignore[no-untyped-def]
        """No type."""

    def positional(city: str, /) -> str:
        return city

    class Odd: ...

    def unknown(thing: Odd) -> str:
        return ""

    for function, said in ((untyped, "has no type"), (positional, "by name"), (unknown, "has no JSON schema")):
        with pytest.raises(Glm4Error, match=said):
            tool(function)


def test_results_of_every_kind_become_text() -> None:
    class Person(pydantic.BaseModel):
        name: str = "Mira"

    @dataclasses.dataclass
    class Point:
        x: int = 1

    async def later(a: int) -> int:
        return a + 1

    async def several() -> AsyncIterator[int]:
        yield 1
        yield 2

    def few() -> Iterator[int]:
        yield from (1, 2)

    assert tool(later).call({"a": 1}) == "2"
    assert tool(several).call({}) == tool(few).call({}) == "[1, 2]"
    assert tool(lambda: Person()).call({}) == '{"name": "Mira"}' and tool(lambda: Point()).call({}) == '{"x": 1}'
    assert tool(lambda: {Path("a"), Path("a")}).call({}) == '["a"]'


def test_callables_of_every_kind_are_declared() -> None:
    def add(a: int, b: int = 2) -> int:
        """Add."""
        return a + b

    class Adder:
        def __call__(self, a: int) -> int:
            """Add one."""
            return a + 1

    bound = tool(functools.partial(add, b=5))
    assert (bound.name, bound.description, bound.call({"a": 1})) == ("add", "Add.", "6")
    assert list(bound.parameters["properties"]) == ["a"]
    added = tool(Adder())
    assert (added.name, added.description, added.call({"a": 1})) == ("Adder", "Add one.", "2")


def test_names_and_types_that_mean_something_to_others() -> None:
    def odd(model_dump: int, schema: "int", copy: dict = {"title": "Mr", "k": 1}) -> "pd.DataFrame":  # type: ignore # noqa
        return model_dump + schema

    made = tool(odd)
    assert made.call({"model_dump": 1, "schema": 2}) == "3"
    assert made.parameters["properties"]["copy"]["default"] == {"title": "Mr", "k": 1}

    def unknown(a: "Nowhere") -> int:  # type: ignore[name-defined]  # noqa: F821
        return 1

    with pytest.raises(Glm4Error, match="The type Nowhere is not known"):
        tool(unknown)


@pytest.mark.parametrize(
    "docstring",
    [
        "Do it.\n\nArgs:\n    x (int): the number\n",
        "Do it.\n\n:param x: the number\n:returns: it",
        "Do it.\n\n:param int x: the number",
        "Do it.\n\nParameters\n----------\nx : int\n    the\n    number\n\nReturns\n-------\nint\n    it\n",
    ],
)
def test_docstrings_of_every_form(docstring: str) -> None:
    def f(x: int) -> int:
        return x

    f.__doc__ = docstring
    made = tool(f)
    assert (made.description, made.parameters["properties"]["x"]["description"]) == ("Do it.", "the number")


def test_a_description_in_the_annotation() -> None:
    def f(x: Annotated[int, pydantic.Field(description="stars", le=5)]) -> int:
        return x

    assert tool(f).parameters["properties"]["x"] == {"type": "integer", "description": "stars", "maximum": 5}


def test_a_tool_from_a_schema() -> None:
    made = Tool("f", "Does it", {"type": "object", "properties": {"a": {"type": "integer"}}}, lambda a: a + 1)
    assert made.call({"a": 1}) == "2"
    assert made.declaration()["function"]["parameters"]["properties"] == {"a": {"type": "integer"}}


posix = pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX systems")


def test_code_runs_and_shows_its_last_value() -> None:
    assert run_python("import math\nprint('hi')\nmath.factorial(10)") == "hi\n3628800\n"
    assert run_python("x = 1") == "" and run_python("") == ""
    assert python_tool().call("print(sum(range(1, 101)))") == "5050\n"
    assert python_tool().declaration() == {"type": "python"}


def test_an_error_of_the_code_is_what_it_shows() -> None:
    assert "ZeroDivisionError: division by zero" in run_python("1 / 0")
    assert "SyntaxError" in run_python("def")


def test_code_that_does_not_end() -> None:
    started = time.perf_counter()
    with pytest.raises(TimeoutError, match="stopped after 0.5 seconds"):
        run_python("while True: pass", Limits(seconds=0.5))
    assert time.perf_counter() - started < 5


def test_code_that_writes_without_end() -> None:
    shown = run_python("while True: print('x' * 1000)", Limits(seconds=5, output=2000))
    assert len(shown) < 2100 and "more characters" in shown


@posix
def test_code_that_takes_too_much_memory_or_disk() -> None:
    assert "MemoryError" in run_python("x = bytearray(10**9)", Limits(memory=300 << 20))
    assert "File too large" in run_python("open('f', 'wb').write(bytes(10**7))", Limits(file=1 << 20))


@pytest.mark.parametrize(
    "code",
    [
        "import socket\nsocket.create_connection(('127.0.0.1', 1))",
        "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:1')",
        "import subprocess\nsubprocess.run(['true'])",
        "import os\nos.system('true')",
        "import os\nos.fork()",
        "import os\nos.kill(1, 0)",
        "import ctypes\nctypes.CDLL(None)",
    ],
)
def test_code_may_reach_neither_network_nor_programs(code: str) -> None:
    assert "not allowed here" in run_python(code)


def test_code_sees_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert run_python("import os\nprint(os.environ.get('HF_TOKEN'), os.listdir('.'))") == "None []\n"


def test_a_document_in_pages(tmp_path: Path) -> None:
    file = tmp_path / "story.md"
    file.write_text(
        "".join(f"Line {number} of the story.\n" for number in range(300)) + "The treasure is under the oak.\n"
    )
    document = Document.open(file)
    assert "".join(document.pages) == file.read_text() and all(len(page) <= 2000 for page in document.pages)
    assert all(page.endswith("\n") for page in document.pages)
    reading, finding = document.tools()
    assert reading.call({"page": 1}).startswith(f"[page 1 of {len(document.pages)}]\nLine 0 of the story.")
    assert "The TREASURE".casefold() in finding.call({"text": "treasure"}).casefold()
    assert finding.call({"text": "Line"}).count("[page") == min(8, len(document.pages))
    assert "'dragon' is not in the document" in finding.call({"text": "dragon"})
    with pytest.raises(ValueError, match="there is no page 99"):
        reading.call({"page": 99})
    assert f"has {len(document.pages)} pages" in document.about()


def test_a_pdf(tmp_path: Path) -> None:
    file = tmp_path / "small.pdf"
    file.write_bytes(small_pdf("The code of the garage is 4821."))
    assert "The code of the garage is 4821." in Document.open(file).read(1)


def small_pdf(text: str) -> bytes:
    """A PDF of one page with one line, written out by hand."""
    content = f"BT /F1 12 Tf 50 700 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    written, offsets = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        offsets.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    start = len(written)
    written += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table)
    return written + b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gbk", "gb18030"])
def test_texts_in_the_encodings_that_people_have(tmp_path: Path, encoding: str) -> None:
    text = "合同编号是 8891。甲方应于十日内付款。\n"
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    assert Document.open(tmp_path / "a.txt").text == text


def test_a_pdf_under_encryption(tmp_path: Path) -> None:
    """AES with an empty password opens for everybody; another password is told, and no traceback."""
    (tmp_path / "plain.pdf").write_bytes(small_pdf("The code is 4821."))
    for password in ("", "secret"):
        writer = pypdf.PdfWriter(clone_from=tmp_path / "plain.pdf")
        writer.encrypt(password, algorithm="AES-256")
        writer.write(tmp_path / f"{password or 'open'}.pdf")
    assert "The code is 4821." in Document.open(tmp_path / "open.pdf").text
    with pytest.raises(Glm4Error, match="protected by a password"):
        Document.open(tmp_path / "secret.pdf")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("latin.txt", "café au lait, déjà vu".encode("latin-1"), "is no UTF-8 text"),
        ("binary.txt", bytes(range(256)), "is no UTF-8 text"),
        ("a.txt", b"  \n", "holds no text"),
        ("a.txt", b"\xff\xfe\x00", "is no UTF-8 text"),
        ("a.pdf", b"not a pdf", "is no PDF that can be read"),
        ("a.pdf", b"", "is no PDF that can be read"),
    ],
)
def test_what_is_no_document(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Glm4Error, match=said):
        Document.open(tmp_path / name)


@pytest.mark.parametrize("name", ["nowhere.txt", "nowhere.pdf"])
def test_a_document_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(Glm4Error, match="can't be read: No such file"):
        Document.open(tmp_path / name)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX devices")
def test_a_device_or_a_pipe_is_no_document(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    for path in (tmp_path / "pipe.txt", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(Glm4Error, match="is no ordinary file"):
            Document.open(path)
