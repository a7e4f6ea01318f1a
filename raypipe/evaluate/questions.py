"""The rows of a benchmark, all of them or an error: a benchmark without some of its rows is another one."""

from collections.abc import Callable
from itertools import islice
from typing import TypeVar

from raypipe.corpus.records import Record, read_records

Q = TypeVar("Q")


def read_questions(
    uri: str, made_of: Callable[[Record], Q | str], *, limit: int | None = None, what: str = "question"
) -> list[Q]:
    """What `made_of` makes of the rows of a benchmark's files, in their order, of the first `limit` of them.

    Raises
    ------
    ValueError
        If a row can't be read, or `made_of` gives a text, which is why it can't be used; or there is no row.
    """
    found: list[Q] = []
    for record in islice(read_records([uri]), limit):
        made = record.reason or made_of(record)
        if isinstance(made, str):
            raise ValueError(f"every row of a benchmark must be a {what}, {record.path}:{record.row} isn't: {made}.")
        found.append(made)
    if not found:
        raise ValueError(f"{uri} has no row.")
    return found
