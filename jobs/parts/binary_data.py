"""What the jobs of weak-to-strong learning share: which rows, and which of them are for testing only."""

import sys
from dataclasses import dataclass, field

import numpy as np

from raypipe.report.escape import terminal_text
from raypipe.settings.identity import BY_CONTENT
from raypipe.train.data.binary import BinaryColumns, BinaryRows, read_binary_rows
from raypipe.train.data.splits import sample_rows

from .idle import refuse_idle


@dataclass(frozen=True, kw_only=True)
class BinarySettings:
    """Texts with a yes or no, and how many of them."""

    data: tuple[str, ...] = field(metadata=BY_CONTENT)
    """[NAME=]URI of a folder, glob or file of Parquet or JSON (.gz, .zst, .bz2, .xz) of rows. Repeatable."""
    columns: BinaryColumns = BinaryColumns()
    where: str | None = field(default=None, metadata=BY_CONTENT)
    """SQL condition on a row's columns; rows that fail it are left out as "filtered"."""
    max_rows: int | None = field(default=None, metadata=BY_CONTENT)
    """So many rows at most, drawn by the hash of their text."""
    max_characters: int = field(default=4000, metadata=BY_CONTENT)
    """Longer texts are left out."""
    test_share: float = field(default=0.25, metadata=BY_CONTENT)
    """Share of the rows that only test; the same rows for every seed."""

    def load(self) -> BinaryRows:
        """The rows in the order of their files, in memory; those that are left out are counted by reason.

        Raises
        ------
        ValueError
            If none is left, all have the same truth, or max_rows isn't positive, or a setting does nothing.
        """
        if self.max_rows is not None and self.max_rows < 1:
            raise ValueError(f"max_rows must be at least 1, got {self.max_rows}.")
        if self.columns.choices_column is None:
            refuse_idle(self.columns, ["gold_column"], because="without --choices-column")
        else:
            refuse_idle(self.columns, ["label_column"], because="with --choices-column")
        read = read_binary_rows(self.data, self.columns, where=self.where)
        short = [at for at, row in enumerate(read.rows) if len(row.text) <= self.max_characters]
        if not short:
            raise ValueError(f"no text of {len(read.rows)} is at most {self.max_characters} characters long.")
        for row in read.rows:
            if len(row.text) > self.max_characters:
                read.left_out.add(f"longer than {self.max_characters} characters", path=row.path, row=row.row)
        found = read.of(short)
        drawn = np.arange(len(short)) if self.max_rows is None else sample_rows(found.text_hash, self.max_rows)
        chosen = found.of(drawn)
        if len(labels := {row.label for row in chosen.rows}) < 2:
            only = labels.pop()
            raise ValueError(f"rows must have both truths to tell apart, got only {only} in all {len(chosen.rows):,}.")
        return chosen


def say_skipped(rows: BinaryRows) -> None:
    """Rows that were left out, by reason, on stderr."""
    for line in rows.left_out.lines():
        print(terminal_text(line, max_chars=400), file=sys.stderr)
