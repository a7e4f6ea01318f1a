"""A learned rule: a vote for one class where a number is high enough, for another where it is low enough.

Source: the heuristics of P. Varma and C. Re, Snuba, VLDB 2018, section 3.1: a model of one feature that abstains where
it is unsure; what it then says is what two bounds say (`label/autows/bands.py`).
Departures: the number may be one entry of a vector.
Cost: O(n).
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from raypipe.fitting.vectors import matrix


@dataclass(frozen=True)
class Learned:
    """Votes by two bounds of a number, or of an entry of a vector; null and NaN are in neither."""

    name: str
    column: str
    """`n_bytes`, or STAGE.COLUMN: embeddings.embedding."""
    entry: int | None = None
    """Of the vector, from 0 on; None: the column is of numbers."""
    above: str | None = None
    """The class where the number is `at_least` so much."""
    at_least: float | None = None
    below: str | None = None
    """The class where it is `at_most` so much."""
    at_most: float | None = None

    @property
    def vote(self) -> str | None:
        """The class, where there is one alone."""
        return self.above if self.below is None else self.below if self.above is None else None

    @property
    def reads(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    def check(self) -> None:
        """Refuse a class without its bound, neither, bounds that overlap, and no entry of a vector.

        Raises
        ------
        ValueError
            With the function's name and the values.
        """
        called = f"labelling function {self.name!r}"
        if (self.above is None) != (self.at_least is None) or (self.below is None) != (self.at_most is None):
            raise ValueError(f"{called}: above goes with at_least and below with at_most, got {self}.")
        if self.at_least is None and self.at_most is None:
            raise ValueError(f"{called}: give above and at_least, below and at_most, or all four; got none.")
        if self.at_least is not None and self.at_most is not None and self.at_most >= self.at_least:
            raise ValueError(
                f"{called}: at_most must be below at_least, or some numbers would have two classes; got "
                f"{self.at_most} and {self.at_least}."
            )
        if self.entry is not None and self.entry < 0:
            raise ValueError(f"{called}: entry must be a number of the vector from 0 on, got {self.entry}.")

    def says(self, table: pa.Table) -> pa.Array:
        """The class where the number is beyond a bound.

        Raises
        ------
        ValueError
            If the vectors have no such entry.
        """
        X, reasons = matrix([table[self.column]])
        if self.entry is not None and X.shape[1] and self.entry >= X.shape[1]:
            raise ValueError(f"entry must be below the {X.shape[1]} of the vectors of {self.column}, got {self.entry}.")
        whole = np.array([reason is None for reason in reasons], bool)
        numbers = X[:, self.entry or 0] if X.shape[1] else np.full(len(table), np.nan)
        found = np.full(len(table), None, object)
        if self.at_least is not None:
            found[whole & (numbers >= self.at_least)] = self.above
        if self.at_most is not None:
            found[whole & (numbers <= self.at_most)] = self.below
        return pa.array(found.tolist(), pa.string())
