"""What the jobs of weak-to-strong learning share: which rows, and which of them are for testing only."""

import sys
from dataclasses import dataclass

import numpy as np

from jobs.training import part
from raypipe.train.data.binary import BinaryColumns, BinaryRows, read_binary_rows
from raypipe.train.data.splits import sample_rows


@dataclass(frozen=True, kw_only=True)
class BinarySettings(BinaryColumns):
    """Texts with a yes or no, and how many of them."""

    data: tuple[str, ...]
    """Folders or files (.jsonl, .parquet) of rows. Repeatable."""
    max_rows: int | None = None
    """So many rows at most, drawn by the hash of their text."""
    max_characters: int = 4000
    """Longer texts are left out."""
    test_share: float = 0.25
    """Share of the rows that only test; the same rows for every seed."""

    def load(self) -> BinaryRows:
        """The rows in the order of their files, in memory; those that are left out are counted by reason.

        Raises
        ------
        ValueError
            If none is left, or max_rows isn't positive.
        """
        if self.max_rows is not None and self.max_rows < 1:
            raise ValueError(f"max_rows must be at least 1, got {self.max_rows}.")
        read = read_binary_rows(self.data, part(BinaryColumns, self))
        short = [at for at, row in enumerate(read.rows) if len(row.text) <= self.max_characters]
        if not short:
            raise ValueError(f"no text of {len(read.rows)} is at most {self.max_characters} characters long.")
        read.skipped[f"longer than {self.max_characters} characters"] += len(read.rows) - len(short)
        found = read.of(short)
        drawn = np.arange(len(short)) if self.max_rows is None else sample_rows(found.text_hash, self.max_rows)
        return found.of(drawn)


def say_skipped(rows: BinaryRows) -> None:
    """Rows that were left out, by reason, on stderr."""
    for reason, n in rows.skipped.most_common():
        if n:
            print(f"left out: {n:,} rows: {reason}", file=sys.stderr)
