"""Tables whose cells can't stand under another header than their own: a column is both."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from markupsafe import Markup

from raypipe.report.page.render import render

R = TypeVar("R")


@dataclass(frozen=True)
class Column(Generic[R]):
    """A header, and what stands under it in each row."""

    header: str
    cell: Callable[[R], str]
    """Text, or markup of `cells`."""
    is_text: bool = False
    """Left-aligned; numbers stand to the right."""


def table(caption: str, columns: Sequence[Column[R]], rows: Iterable[R], *, totals: Iterable[R] = ()) -> Markup:
    """A table with a caption; the first column names the row. It scrolls by itself when it is wider than the page."""
    found = [(row, False) for row in rows] + [(row, True) for row in totals]
    return render("table.html", caption=caption, columns=columns, rows=found)
