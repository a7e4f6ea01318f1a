"""Rows of WARC files: the main text of each page that was fetched, and the texts of WET files as they are.

Source: ISO 28500 (WARC 1.1), read by FastWARC; text by Resiliparse's extract_plain_text with its rule for the main
content, as in DataComp-LM (J. Li et al., arXiv 2406.11794, section 4.1).
A row is a response, a resource or a conversion, with `text`, `id`, `url`, `date` and `content_type`; requests and
metadata are none. What isn't HTML or plain text, or wasn't fetched with status 200, is a row with that as its reason.
Cost: one record is held; some 5 ms a page of 100 kB.
"""

import io
import re
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from raypipe.corpus.arrays import Line

if TYPE_CHECKING:
    from fastwarc.warc import WarcRecord

ROWS = ("response", "resource", "conversion")
HTML, PLAIN = ("text/html", "application/xhtml+xml"), "text/plain"
_TYPE = re.compile(r"[\w.+-]{1,40}/[\w.+-]{1,40}")
_OK = 200
_TAG = re.compile(r"<(/?)([a-zA-Z]+)")
_UNNESTED = """area base br col dd dt embed hr img input li link meta option p param path rect source tbody td tfoot th
thead tr track use wbr"""
"""Tags that need no end."""
MAX_DEPTH = 3000
"""Of tags in tags: the time of extraction grows with its square, to a second or so at this depth."""


def check_installed() -> None:
    """See that what reads WARC is there.

    Raises
    ------
    ValueError
        If it isn't, with the remedy.
    """
    if find_spec("fastwarc") is None or find_spec("resiliparse") is None:
        raise ValueError("WARC is read by packages that aren't installed; pip install 'raypipe[web]'.")


def warc_rows(pieces: Iterable[bytes], *, max_bytes: int) -> Iterator[Line]:
    """The rows of an uncompressed WARC stream, numbered; one of more than max_bytes gives a reason.

    Where the stream is no WARC any more a last row says so.
    """
    check_installed()
    from fastwarc.warc import ArchiveIterator

    source, number = _Source(pieces), 0
    try:
        for record in ArchiveIterator(source, parse_http=False, stream_detect=False):
            kind, block = str(record.record_type), record.reader.read(max_bytes + 1)
            if kind in ROWS or kind == "unknown" or len(block) < record.content_length:
                yield number, _row(record, kind, block, max_bytes)
                number += 1
    except OSError:
        if source.has_failed:  # the storage or the compression, of which others speak
            raise
        yield number, f"no WARC from record {number} on"


def _row(record: "WarcRecord", kind: str, block: bytes, max_bytes: int) -> dict[str, object] | str:
    """A record as a row, or the reason why it is none."""
    length = record.headers.get("Content-Length") or ""
    if len(block) > max_bytes:
        return f"record over {max_bytes} bytes"
    if kind == "unknown" or not length.isdecimal() or len(block) != int(length):
        return "a broken record"
    try:
        status, content_type, body, charset = _payload(record, kind, block, max_bytes)
    except OSError:
        return "a broken HTTP response"
    if status not in (None, _OK):
        return f"HTTP status {status}"
    if content_type not in (*HTML, PLAIN):
        return f"not a text: {content_type}"
    text: bytes | str = body if kind == "conversion" else _decoded(body, charset)
    if content_type in HTML and isinstance(text, str):
        if _depth(text) > MAX_DEPTH:
            return f"tags nested over {MAX_DEPTH} deep"
        text = _main_text(text)
    said = {
        "id": record.record_id,
        "url": record.headers.get("WARC-Target-URI"),
        "date": record.headers.get("WARC-Date"),
    }
    return {"text": text, **said, "content_type": content_type}


def _payload(
    record: "WarcRecord", kind: str, block: bytes, max_bytes: int
) -> tuple[int | None, str, bytes, str | None]:
    """Status, type, body and charset; of what is no HTTP response the status is None.

    By an iterator of its own: one that meets a broken response can't be gone on with.
    """
    from fastwarc.warc import ArchiveIterator

    if kind != "response":
        return None, _type(record.headers.get("Content-Type")), block, None
    head = f"WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http\r\nContent-Length: {len(block)}\r\n\r\n"
    whole = io.BytesIO(head.encode() + block + b"\r\n\r\n")
    inner: Any = next(iter(ArchiveIterator(whole, parse_http=True, auto_decode="all", stream_detect=False)))
    body = inner.reader.read(max_bytes)  # of a body that unpacks to more, its beginning
    if inner.http_headers is None or inner.http_headers.status_code is None:
        raise OSError("no HTTP response")
    return inner.http_headers.status_code, _type(inner.http_content_type), body, inner.http_charset


def _type(said: str | None) -> str:
    """A content type without its parameters; of one that is none, `unknown`: reasons are counted by it."""
    found = (said or "").partition(";")[0].strip().lower()
    return found if _TYPE.fullmatch(found) else "unknown"


def _decoded(body: bytes, charset: str | None) -> str:
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    guessed = detect_encoding(body) or "utf-8"
    try:
        return str(bytes_to_str(body, charset or guessed))
    except LookupError:  # a charset that nobody knows
        return str(bytes_to_str(body, guessed))


def _depth(html: str) -> int:
    """How deep tags stand in tags, at most, but for those that need no end."""
    depth, deepest, unnested = 0, 0, frozenset(_UNNESTED.split())
    for end, name in _TAG.findall(html):
        if name.lower() not in unnested:
            depth = max(0, depth + (-1 if end else 1))
            deepest = max(deepest, depth)
    return deepest


def _main_text(html: str) -> str:
    from resiliparse.extract.html2text import extract_plain_text

    return str(extract_plain_text(html, main_content=True))


class _Source(io.RawIOBase):
    """Pieces of bytes as a file to read from."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces, self._held, self._n_read = iter(pieces), b"", 0
        self.has_failed = False
        """Whether the pieces did, and not what they hold."""

    def read(self, size: int = -1) -> bytes:
        """At least one byte, but at the end; all of them only if size is negative."""
        try:
            while not self._held and (piece := next(self._pieces, None)) is not None:
                self._held = piece
            if size < 0:
                self._held = b"".join((self._held, *self._pieces))
        except Exception:
            self.has_failed = True
            raise
        found = self._held if size < 0 else self._held[:size]
        self._held, self._n_read = self._held[len(found) :], self._n_read + len(found)
        return found

    def tell(self) -> int:
        """Bytes read."""
        return self._n_read
