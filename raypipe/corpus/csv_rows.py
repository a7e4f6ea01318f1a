"""Rows of CSV and TSV: the first row names the columns, every cell is a string, an empty one is null.

Source: RFC 4180, read by Python's csv: cells in quotes may hold newlines, a quote in them is doubled.
Departures: a row may end early, its other cells are null; blank lines are no rows.
Cost: O(bytes); one row is held.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator

from raypipe.corpus.arrays import BOM, Line

UNPARSABLE = "unparsable"
MORE_CELLS = "more cells than columns"


class _TooLong(ValueError):
    """A row of more bytes than are held."""


def csv_rows(pieces: Iterable[bytes], *, delimiter: str, max_bytes: int) -> Iterator[Line]:
    """The rows of a byte stream, numbered; one of more than max_bytes gives a reason, and so does one that is none.

    Reading goes on at the next line. A header that is no row gives a single reason: without it nothing can be read.
    """
    csv.field_size_limit(max(csv.field_size_limit(), max_bytes))
    rows = _rows(_Feed(pieces, max_bytes), delimiter)
    names = next(rows, None)
    if isinstance(names, str):
        yield 0, f"header: {names}"
    if not isinstance(names, list):
        return
    if twice := [name for name, n in Counter(names).items() if n > 1 and name]:
        yield 0, f"header: two columns {twice[0]!r}"
        return
    for number, cells in enumerate(rows):
        if isinstance(cells, list):
            yield number, _record(names, cells) if len(cells) <= len(names) else MORE_CELLS
        else:
            yield number, cells


def _record(names: list[str], cells: list[str]) -> dict[str, object]:
    return {name: cell or None for name, cell in zip(names, cells + [""] * (len(names) - len(cells)), strict=True)}


def _rows(feed: "_Feed", delimiter: str) -> Iterator[list[str] | str]:
    """Cells of each row that isn't blank, or the reason why there are none."""
    while True:
        reader = csv.reader(feed, delimiter=delimiter, strict=True)  # after an error one can't be gone on with
        try:
            for cells in reader:
                feed.n_held = 0
                if cells and any(cell.strip() for cell in cells):
                    yield cells
            return
        except csv.Error:
            yield UNPARSABLE
        except _TooLong as error:
            yield str(error)
        feed.n_held = 0


class _Feed:
    """Lines of a byte stream with their ends, as csv takes them; what is no UTF-8 stays to be told as such."""

    def __init__(self, pieces: Iterable[bytes], max_bytes: int) -> None:
        self._lines, self._max_bytes = _lines(pieces, max_bytes), max_bytes
        self.n_held = 0
        """Bytes of the row that is open."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.n_held += len(line)
        if self.n_held > self._max_bytes:
            raise _TooLong(f"row over {self._max_bytes} bytes")
        return line.decode("utf-8", "surrogateescape")


def _lines(pieces: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    """Lines with their newlines; of one of more than max_bytes no more than one byte more is given."""
    held: list[bytes] = []
    n_held, is_first = 0, True

    def whole(end: bytes) -> bytes:
        nonlocal is_first
        line = b"".join((*held, end))[: max_bytes + 1]
        line, is_first = line.removeprefix(BOM) if is_first else line, False
        return line

    for piece in pieces:
        *ends, rest = piece.split(b"\n")
        for end in ends:
            yield whole(end + b"\n")
            held, n_held = [], 0
        if rest and n_held <= max_bytes:
            held.append(rest)
        n_held += len(rest)
    if held:
        yield whole(b"")
