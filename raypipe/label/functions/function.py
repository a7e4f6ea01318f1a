"""What a labelling function is: a name, the columns that it reads, and the class that it gives a row, or none."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa


class LabellingFunction(Protocol):
    """Its fields are its settings. It judges each row by itself, whatever rows stand beside it."""

    @property
    def name(self) -> str:
        """By which tables call it."""
        ...

    @property
    def vote(self) -> str | None:
        """The only class that it votes for; None: any."""
        ...

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that `says` gets: of columns.SOURCE, or `stage.column`."""
        ...

    def check(self) -> None:
        """Refuse, with a ValueError, what can't work on any row; before any worker is asked for."""
        ...

    def says(self, table: pa.Table) -> pa.Array:
        """The name of a class for each row [n] string, null where it abstains. It may raise: see `said`."""
        ...


@dataclass(frozen=True)
class Said:
    """What a function says of some rows."""

    classes: list[str | None]
    failed: dict[int, str]
    """Rows on which it raised, with the error in short; it abstains there."""


def said(function: LabellingFunction, table: pa.Table) -> Said:
    """What a function says of each row; where it raises, halves are tried until it is a single row that fails.

    Raises
    ------
    MemoryError
        The function's own: of fewer rows it may have enough.
    """
    classes: list[str | None] = []
    failed: dict[int, str] = {}
    ranges = [(0, len(table))] if len(table) else []
    while ranges:
        start, stop = ranges.pop()
        try:
            classes += function.says(table.slice(start, stop - start)).to_pylist()
        except MemoryError:
            raise
        except Exception as error:  # a user's expression may end by anything its library knows
            if stop - start == 1:
                classes.append(None)
                failed[start] = f"{type(error).__name__}: {error}".partition("\n")[0][:200]
                continue
            middle = (start + stop) // 2
            ranges += [(middle, stop), (start, middle)]
    return Said(classes, failed)


def where(mask: pa.Array, vote: str) -> pa.Array:
    """The class where the mask [n] is true, null where it is false or null."""
    import pyarrow.compute as pc

    return pc.if_else(pc.fill_null(mask, False), pa.scalar(vote, pa.string()), pa.scalar(None, pa.string()))


def column(table: pa.Table, name: str) -> pa.Array:
    """A column in one piece."""
    found = table[name].combine_chunks()
    return pa.concat_arrays(found.chunks) if isinstance(found, pa.ChunkedArray) else found


def check_words(name: str, setting: str, words: Sequence[str]) -> None:
    """See that there are words, and none is blank.

    Raises
    ------
    ValueError
        With the function's name.
    """
    if not words or not all(word.strip() for word in words):
        raise ValueError(f"labelling function {name!r}: {setting} must hold words, none of them blank, got {words!r}.")
