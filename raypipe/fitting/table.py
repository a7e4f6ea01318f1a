"""Mixed tables: columns of numbers, vectors and categories, as vectors or as the cells they are.

A category is any text. As vectors each known category is a column of 0 and 1, and an unknown or empty cell has zeros,
as with scikit-learn's OneHotEncoder(handle_unknown="ignore"); a row without a number or a vector can't be used.
Cost: O(n d); as vectors a column is as wide as it has categories.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.contracts.estimator import State
from raypipe.fitting.classes import classes_of, classes_state
from raypipe.fitting.vectors import matrix

MAX_CATEGORIES = 1000


def is_category(kind: pa.DataType) -> bool:
    """Whether a column of this type holds categories."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind))


@dataclass
class ColumnVectors:
    """Columns side by side, in order -> [n, d] float64."""

    columns: tuple[str, ...]

    name: ClassVar[str] = "columns"
    widths_: list[int] = field(default_factory=list, init=False, repr=False)
    """How many columns of X each is."""
    categories_: dict[int, np.ndarray] = field(default_factory=dict, init=False, repr=False)
    """Of the columns, by their place, that hold any."""

    @property
    def feature_names(self) -> list[str]:
        """The column's name, with the category or the place in the vector where it is several columns of X."""
        names = []
        for at, (name, width) in enumerate(zip(self.columns, self.widths_, strict=True)):
            if at in self.categories_:
                names += [f"{name}={category}" for category in self.categories_[at]]
            else:
                names += [name] if width == 1 else [f"{name}[{place}]" for place in range(width)]
        return names

    def fit(self, table: pa.Table) -> Self:
        """Learn the categories, and how long vectors are.

        Raises
        ------
        ValueError
            If a column has more categories than can be told apart, or vectors of several lengths.
        """
        self.categories_, self.widths_ = {}, []
        for at, name in enumerate(self.columns):
            if is_category(table.schema.field(name).type):
                found = np.array(sorted(set(table[name].drop_null().to_pylist()) - {""}), dtype=str)
                if not 0 < len(found) <= MAX_CATEGORIES:
                    raise ValueError(
                        f"column {name!r} must have 1 to {MAX_CATEGORIES} categories, got {len(found):,}; a column of "
                        "texts is read as words where it is the only one."
                    )
                self.categories_[at] = found
                self.widths_.append(len(found))
            else:
                self.widths_.append(matrix([table[name]])[0].shape[1])
        return self

    def encode(self, table: pa.Table) -> tuple[np.ndarray, list[str | None]]:
        """Rows of numbers, and reasons of rows that lack one.

        Raises
        ------
        ValueError
            If a column is of another kind than it was, or its vectors are longer or shorter.
        """
        parts, reasons = [], [None] * len(table)
        for at, name in enumerate(self.columns):
            kind = table.schema.field(name).type
            if is_category(kind) != (at in self.categories_):
                was = "categories" if at in self.categories_ else "numbers"
                raise ValueError(f"column {name!r} must be of {was}, as the labelled rows had it, got {kind}.")
            if at in self.categories_:
                cells = np.array([cell or "" for cell in table[name].to_pylist()], dtype=str)
                parts.append((cells[:, None] == self.categories_[at]).astype(np.float64))
                continue
            X, why = matrix([table[name]])
            if X.shape[1] == 0 and all(why):  # no row has a vector, so none says how long they are
                X = np.zeros((len(table), self.widths_[at]))
            if X.shape[1] != self.widths_[at]:
                raise ValueError(f"vectors of {name!r} must have {self.widths_[at]} numbers, got {X.shape[1]}.")
            parts.append(np.nan_to_num(X, posinf=0.0, neginf=0.0))
            reasons = [one or other for one, other in zip(reasons, why, strict=True)]  # type: ignore[misc]
        return np.concatenate(parts, axis=1), reasons  # type: ignore[return-value]

    def about(self) -> dict[str, Any]:
        """Settings."""
        return {"name": self.name, "columns": list(self.columns)}

    def state(self) -> State:
        """Widths, and the categories of each column that has any, by its place."""
        found = {"widths": np.array(self.widths_, np.int64)}
        for at, names in self.categories_.items():
            found |= {f"{at}.{key}": of for key, of in classes_state(names).items()}
        return found

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(self.columns)
        made.widths_ = [int(width) for width in state["widths"]]
        for key, of in state.items():
            at, _, name = key.partition(".")
            if name:
                made.categories_[int(at)] = classes_of({name: of})
        return made


@dataclass
class TableCells:
    """Columns as they are -> object [n, d]: numbers as floats, categories as texts, None where a cell is empty."""

    columns: tuple[str, ...]

    name: ClassVar[str] = "cells"

    @property
    def feature_names(self) -> list[str]:
        """The columns."""
        return list(self.columns)

    def fit(self, table: pa.Table) -> Self:
        """See that each column has a cell for each row.

        Raises
        ------
        ValueError
            If one is of vectors.
        """
        for name in self.columns:
            if pa.types.is_nested(kind := table.schema.field(name).type):
                raise ValueError(f"column {name!r} must be of numbers or categories, got {kind}.")
        return self

    def encode(self, table: pa.Table) -> tuple[np.ndarray, list[str | None]]:
        """The cells; every row can be used."""
        X = np.empty((len(table), len(self.columns)), object)
        for at, name in enumerate(self.columns):
            column = table[name]
            if not is_category(column.type):
                numbers = pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy()
                X[:, at] = [None if np.isnan(number) else float(number) for number in numbers]
            else:
                X[:, at] = column.to_pylist()
        return X, [None] * len(table)

    def about(self) -> dict[str, Any]:
        """Settings."""
        return {"name": self.name, "columns": list(self.columns)}

    def state(self) -> State:
        """Nothing is learned; safetensors stores no empty state."""
        return {"n_columns": np.array([len(self.columns)], np.int64)}

    def from_state(self, state: State) -> Self:
        """One of the same settings."""
        return type(self)(self.columns)
