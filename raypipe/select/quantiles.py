"""Quantiles of columns of a whole run, over all rows that came through: a gather, the same for any cut of the run."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.arrays.quantiles import Quantiles
from raypipe.columns import REASON

FRACTIONS = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


@dataclass
class ColumnQuantiles:
    """Quantiles of columns of numbers."""

    columns: tuple[str, ...]
    """`stage.column` each."""
    fractions: tuple[float, ...] = FRACTIONS
    """Of the rows, at or below each quantile."""

    version: ClassVar[int] = 1
    _found: dict[str, Quantiles] = field(default_factory=dict, init=False, repr=False)
    _n_null: dict[str, int] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the fractions.

        Raises
        ------
        ValueError
            If one isn't in [0, 1].
        """
        if not all(0 <= at <= 1 for at in self.fractions):
            raise ValueError(f"fractions must be in [0, 1], got {list(self.fractions)}.")

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns."""
        return self.columns

    def update(self, table: pa.Table) -> None:
        """Take in rows; those with a reason are left out, nulls are counted."""
        rows = table.filter(pc.is_null(table[REASON]))
        for name in self.columns:
            values = rows[name].cast(pa.float32())
            self._n_null[name] = self._n_null.get(name, 0) + values.null_count
            self._of(name).add(values.drop_null().to_numpy())

    def merge(self, other: Self) -> None:
        """Take in what another has."""
        for name in self.columns:
            self._n_null[name] = self._n_null.get(name, 0) + other._n_null.get(name, 0)
            self._of(name).merge(other._of(name))

    def _of(self, name: str) -> Quantiles:
        return self._found.setdefault(name, Quantiles())

    def state(self) -> dict[str, np.ndarray]:
        """Cells, counts and the numbers of others and nulls of each column."""
        return dict(self._arrays())

    def _arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        for name in self.columns:
            found = self._of(name)
            yield f"{name}.cells", found.cells
            yield f"{name}.counts", found.counts
            yield f"{name}.left_out", np.array([found.n_other, self._n_null.get(name, 0)], np.int64)

    def from_state(self, state: dict[str, np.ndarray]) -> Self:
        """One of the same settings that has this state."""
        made = type(self)(self.columns, self.fractions)
        for name in self.columns:
            n_other, made._n_null[name] = map(int, state[f"{name}.left_out"])
            made._found[name] = Quantiles(state[f"{name}.cells"], state[f"{name}.counts"], n_other)
        return made

    def result(self) -> dict[str, Any]:
        """For each column the quantiles by fraction, and how many rows they are of."""
        return {name: self._said(self._of(name), self._n_null.get(name, 0)) for name in self.columns}

    def _said(self, found: Quantiles, n_null: int) -> dict[str, Any]:
        values = found.at(np.array(self.fractions)) if found.n else [None] * len(self.fractions)
        quantiles = {str(at): value and float(value) for at, value in zip(self.fractions, values, strict=True)}
        return {"n": found.n, "not_finite": found.n_other, "null": n_null, "quantiles": quantiles}
