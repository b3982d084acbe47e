"""A long document as a tool: the model reads it a page at a time, or looks for a word in it."""

import codecs
import contextlib
from collections.abc import Callable
from pathlib import Path

from ..errors import Glm4Error
from .callables import Tool, tool

PAGE = 2000
"""Characters of a page: some 500 tokens of English, 1,200 of Chinese."""
_MOST_HITS, _AROUND = 8, 80


class Document:
    """The text of a .txt, .md or .pdf file, in pages."""

    def __init__(self, name: str, text: str, page: int = PAGE) -> None:
        self.name, self.text = name, text
        self.pages = _pages(text, page)

    @classmethod
    def open(cls, path: str | Path, page: int = PAGE) -> "Document":
        """Read a file. Raises Glm4Error if it can't be read or holds no text."""
        file = Path(path)
        if file.exists() and not file.is_file() and not file.is_dir():  # a device or a pipe, which may not end
            raise Glm4Error(f"{file} is no ordinary file", "Give a .txt, .md or .pdf file.")
        text = _read_pdf(file) if file.suffix.lower() == ".pdf" else _read_text(file)
        if not text.strip():
            raise Glm4Error(f"{file} holds no text", "A scanned document needs OCR first.")
        return cls(file.name, text, page)

    def tools(self) -> list[Tool]:
        """`read_page` and `find_in_document`, for `agent.run`."""

        def read_page(page: int) -> str:
            """Read a page of the document.

            page: the page's number, from 1
            """
            return self.read(page)

        def find_in_document(text: str) -> str:
            """Find where the document mentions something; tells the pages.

            text: a word or phrase, as it is written there
            """
            return self.find(text)

        return [tool(read_page), tool(find_in_document)]

    def about(self) -> str:
        """One line for a system message: what the document is and how to read it."""
        return (
            f"The document {self.name} has {len(self.pages)} pages. Read them with read_page, or use find_in_document."
        )

    def read(self, page: int) -> str:
        """The text of a page, from 1. Raises ValueError for one that there is not."""
        if not 1 <= page <= len(self.pages):
            raise ValueError(f"there is no page {page}; the document has pages 1 to {len(self.pages)}")
        return f"[page {page} of {len(self.pages)}]\n{self.pages[page - 1]}"

    def find(self, text: str) -> str:
        """The first places that mention a text, each with its page and its surroundings."""
        if not text.strip():
            raise ValueError("the text to find is empty")
        hits, wanted = [], text.casefold()
        for number, page in enumerate(self.pages, 1):
            at = page.casefold().find(wanted)
            if at >= 0:
                around = page[max(0, at - _AROUND) : at + len(text) + _AROUND]
                hits.append(f"[page {number}] … {' '.join(around.split())} …")
        more = f"\nand on {len(hits) - _MOST_HITS} more pages" if len(hits) > _MOST_HITS else ""
        return "\n".join(hits[:_MOST_HITS]) + more if hits else f"{text!r} is not in the document"


def _pages(text: str, size: int) -> list[str]:
    """The text in pieces of about `size` characters, cut between lines where there is one to cut at."""
    pages, start = [], 0
    while start < len(text):
        end = min(start + size, len(text))
        line_break = text.rfind("\n", start + size // 2, end)
        if end < len(text) and line_break > 0:
            end = line_break + 1
        pages.append(text[start:end])
        start = end
    return pages


def _read_text(file: Path) -> str:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise Glm4Error(f"{file} can't be read: {error.strerror}", "Check the path.") from error
    for encoding, belongs in _ENCODINGS:
        with contextlib.suppress(UnicodeDecodeError):
            text = data.decode(encoding)
            if belongs(data, text):
                return text
    raise Glm4Error(f"{file} is no UTF-8 text, nor UTF-16 or GB 18030", "Give a .txt, .md or .pdf file.")


def _has_byte_order_mark(data: bytes, text: str) -> bool:
    return data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def _is_chinese(data: bytes, text: str) -> bool:
    """Whether what is not ASCII is Chinese for the most part: GB 18030 gives a meaning to nearly any bytes."""
    beyond = [letter for letter in text if letter > "\x7f"]
    return 2 * sum("\u3000" <= letter <= "\u9fff" or "\uff00" <= letter <= "\uffef" for letter in beyond) >= len(beyond)


_ENCODINGS: tuple[tuple[str, Callable[[bytes, str], bool]], ...] = (
    ("utf-8-sig", lambda data, text: "\0" not in text),
    ("utf-16", _has_byte_order_mark),
    ("gb18030", _is_chinese),
)
"""What texts are written in, and what tells that one is."""


def _read_pdf(file: Path) -> str:
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, FileNotDecryptedError, PyPdfError

    again = "Save it again, or give its text."
    try:
        reader = PdfReader(file)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Glm4Error(f"{file} is protected by a password", "Save it without one.")
        text = "\n".join(page.extract_text() for page in reader.pages)
    except FileNotDecryptedError as error:
        raise Glm4Error(f"{file} is protected by a password", "Save it without one.") from error
    except OSError as error:
        raise Glm4Error(f"{file} can't be read: {error.strerror or error}", "Check the path.") from error
    except RecursionError as error:
        raise Glm4Error(f"{file} is no PDF that can be read: it is nested too deeply", again) from error
    except (PyPdfError, DependencyError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError,
            NotImplementedError) as error:  # fmt: skip  # what pypdf raises for damaged files and filters it has not
        raise Glm4Error(f"{file} is no PDF that can be read: {error}", again) from error
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # halves of surrogate pairs are no text
