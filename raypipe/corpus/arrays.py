"""A file that is one JSON array: told from lines of JSON, and taken apart into its elements as it streams by."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from raypipe.corpus.decompress import BrokenStream

HEAD_BYTES = 2**16
"""What is looked at of a file to tell what it is."""

BOM = b"\xef\xbb\xbf"
_PIECE = 2**16
_SIGN = re.compile(rb'["\[\]{},]')
_IN_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)

Line = tuple[int, bytes | str | dict[str, object]]
"""Where a line or an element begins, and its bytes, or the reason (a str) why it can't be had; of formats that are no
JSON the row's number, and the row."""


def is_array(head: bytes) -> bool:
    """Whether a file that begins like this is one array of objects; lines of which each is an array are lines."""
    text = head.removeprefix(BOM).lstrip()
    inside = text[1:].lstrip()
    if not text.startswith(b"[") or not inside.startswith((b"{", b"]")):
        return False
    first, _, rest = text.partition(b"\n")
    return not (rest.strip() and _is_json(first))


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def array_elements(pieces: Iterable[bytes], *, max_bytes: int) -> Iterator[Line]:
    """The elements of the array that a byte stream is; one of more than max_bytes gives a reason and isn't held.

    What stands behind the array is one more row that can't be parsed. Where the stream ends before the array does, a
    last row has the reason "array broken at byte N".
    """
    scan = _Scan(max_bytes)
    for piece in _larger(pieces):
        yield from scan.feed(piece)
    yield from scan.end()


def _larger(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that are worth a search each; a stream may come a few bytes at a time."""
    held: list[bytes] = []
    n_held = 0
    try:
        for piece in pieces:
            held.append(piece)
            n_held += len(piece)
            if n_held >= _PIECE:
                yield b"".join(held)
                held, n_held = [], 0
    except BrokenStream:
        yield b"".join(held)
        raise
    yield b"".join(held)


@dataclass
class _Scan:
    """Where in the array we are: only signs outside strings count."""

    max_bytes: int
    position: int = 0
    """Of the piece being scanned."""
    depth: int = 0
    is_in_string: bool = False
    is_escaped: bool = False
    """The last piece ended in a backslash within a string."""
    is_over: bool = False
    begin: int = 0
    """Of the open element."""
    n_held: int = 0
    """Bytes of the open element, kept or not."""
    held: list[bytes] = field(default_factory=list)

    def feed(self, piece: bytes) -> Iterator[Line]:
        """The elements that end in this piece."""
        at = kept = 0
        while at < len(piece):
            if self.is_in_string:
                at = self._through_string(piece, at)
                continue
            found = None if self.is_over else _SIGN.search(piece, at)
            if found is None:
                break
            at, sign = found.end(), found.group()
            if self.depth == 0:
                self.depth, kept, self.begin = int(sign == b"["), at, self.position + at
                continue
            self.is_in_string = sign == b'"'
            self.depth += (sign in b"[{") - (sign in b"]}")
            if self.depth == 0 or (sign == b"," and self.depth == 1):
                self._keep(piece[kept : at - 1])
                yield from self._element()
                kept, self.begin, self.is_over = at, self.position + at, self.depth == 0
        if self.depth or self.is_over:
            self._keep(piece[kept:])
        self.position += len(piece)

    def _through_string(self, piece: bytes, at: int) -> int:
        """The place behind the string that is open at `at`, or the end of the piece."""
        if self.is_escaped:
            at, self.is_escaped = at + 1, False
        found = _IN_STRING.match(piece, at)
        at = found.end() if found else at
        if at >= len(piece):
            return len(piece)
        self.is_in_string = piece[at] != 0x22
        self.is_escaped = self.is_in_string  # what else stops the search is a backslash at the very end
        return at + 1

    def _keep(self, part: bytes) -> None:
        self.n_held += len(part)
        if self.n_held > self.max_bytes:
            self.held = []
        elif part:
            self.held.append(part)

    def _element(self) -> Iterator[Line]:
        element, n_bytes = b"".join(self.held).strip(), self.n_held
        self.held, self.n_held = [], 0
        if n_bytes > self.max_bytes:
            yield self.begin, f"line over {self.max_bytes} bytes"
        elif element:
            yield self.begin, element

    def end(self) -> Iterator[Line]:
        """What is open when the stream ends."""
        if self.is_over:
            yield from self._element()
        else:
            yield self.position, f"array broken at byte {self.position}"
