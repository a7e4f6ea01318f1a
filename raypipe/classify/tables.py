"""Tables of numbers, categories and empty cells, and every literal of their columns counted at once.

A cell is a number, or a category: a text, "" where the cell is empty. A literal compares one column with one value, as
in FOLD-R++ (H. Wang and G. Gupta, arXiv 2110.07843, section 3): `==`, `<=` and `>` are false between a number and a
category, `!=` is true. FOLD-SE adds the complements `not <=` and `not >`, which categories and empty cells fulfil.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Op = Literal["<=", ">", "not <=", "not >", "==", "!="]
OPS: tuple[Op, ...] = ("<=", ">", "not <=", "not >", "==", "!=")
NEGATED: dict[Op, Op] = {"<=": "not <=", ">": "not >", "not <=": "<=", "not >": ">", "==": "!=", "!=": "=="}
Rows = np.ndarray
_NUMBERS = (int, float, np.integer, np.floating)


@dataclass(frozen=True)
class CellTest:
    """A literal: the cell of a column, held against a value."""

    column: int
    op: Op
    value: float | str

    @property
    def negated(self) -> "CellTest":
        """What holds exactly where this one doesn't."""
        return CellTest(self.column, NEGATED[self.op], self.value)


def as_cells(X: object) -> object:
    """Lists as an object array, so that numbers among texts stay numbers; anything else as it is."""
    return np.array(X, dtype=object) if isinstance(X, (list, tuple)) else X


def column_of(X: np.ndarray, column: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Numbers [n] of a column, NaN elsewhere, and its texts [n]; None where all cells are numbers or empty.

    Raises
    ------
    ValueError
        If a number is infinite.
    """
    cells = X[:, column]
    if cells.dtype.kind in "biuf":
        return cells.astype(np.float64), None
    kinds = {kind: issubclass(kind, _NUMBERS) and kind is not bool for kind in set(map(type, cells))}
    is_number = [kinds[type(cell)] for cell in cells]
    numbers = np.array([float(cell) if one else np.nan for one, cell in zip(is_number, cells, strict=True)])
    if np.isinf(numbers).any():
        raise ValueError(f"numbers must be finite, column {column} holds infinity.")
    texts = np.array(
        ["" if cell is None or one else str(cell) for one, cell in zip(is_number, cells, strict=True)], dtype=object
    )
    return numbers, texts if any(texts) else None


class Cells:
    """The columns of a table, each read when it is first asked for."""

    def __init__(self, X: np.ndarray) -> None:
        """Of cells [n, d]: numbers, or objects."""
        self.X = X
        self._read: dict[int, tuple[np.ndarray, np.ndarray | None]] = {}

    def column(self, column: int) -> tuple[np.ndarray, np.ndarray | None]:
        """As `column_of`."""
        if column not in self._read:
            self._read[column] = column_of(self.X, column)
        return self._read[column]

    def holds(self, condition: CellTest) -> np.ndarray:
        """Where a literal holds: [n] bool."""
        numbers, texts = self.column(condition.column)
        op, value = condition.op, condition.value
        if op in ("==", "!="):
            same: np.ndarray = np.isnan(numbers) & (value == "" if texts is None else texts == value)
            return same if op == "==" else ~same
        with np.errstate(invalid="ignore"):
            found: np.ndarray = numbers <= value if op.endswith("<=") else numbers > value
        return ~found if op.startswith("not") else found


class Counted:
    """The literals of training rows: counts of any subset come from one pass and prefix sums.

    Every value of every column has a code; codes of a column stand together, its numbers in order before its
    categories. So `<=` is a range of codes, and counting a subset is one bincount.
    """

    def __init__(self, X: np.ndarray) -> None:
        """Of cells [n, d]; keeps int32 codes [n, d]."""
        self.cells = Cells(X)
        n, d = X.shape
        self.codes = np.empty((n, d), np.int32)
        self.values: list[float | str] = []
        self.start, self.end_of_numbers = np.zeros(d + 1, np.int64), np.zeros(d, np.int64)
        for column in range(d):
            numbers, categories = self._encode(column, offset=len(self.values))
            self.end_of_numbers[column] = self.start[column] + len(numbers)
            self.values += [*numbers, *categories]
            self.start[column + 1] = len(self.values)
        self.column = np.repeat(np.arange(d), np.diff(self.start))
        self.is_number = np.arange(len(self.values)) < self.end_of_numbers[self.column]

    def _encode(self, column: int, *, offset: int) -> tuple[list[float], list[str]]:
        numbers, texts = self.cells.column(column)
        is_number = ~np.isnan(numbers)
        values, at = np.unique(numbers[is_number], return_inverse=True)
        self.codes[is_number, column] = offset + at
        others = np.full(int((~is_number).sum()), "", object) if texts is None else texts[~is_number]
        categories, at = np.unique(others.astype(str), return_inverse=True)
        self.codes[~is_number, column] = offset + len(values) + at
        return values.tolist(), categories.tolist()

    def counts(self, positive: Rows, negative: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Codes [v] present in the rows, and (tp, fn, tn, fp) [4, 6, v] of each with every op of OPS.

        An op that the kind of value doesn't have is all NaN.
        """
        size = (len(positive), len(negative))
        of_codes = np.stack(
            [np.bincount(self.codes[rows].ravel(), minlength=len(self.values)) for rows in (positive, negative)]
        )
        present = np.flatnonzero(of_codes.any(axis=0))
        here, column, is_number = of_codes[:, present], self.column[present], self.is_number[present]
        seen = np.zeros((2, len(present) + 1))
        np.cumsum(here * is_number, axis=1, out=seen[:, 1:])
        before = seen[:, np.searchsorted(column, np.arange(len(self.start)))]  # of the columns to the left
        up_to = seen[:, 1:] - before[:, column]
        above = before[:, column + 1] - before[:, column] - up_to
        hit, total = np.empty((2, 6, len(present))), np.array(size, float)[:, None]
        hit[:, 0], hit[:, 1], hit[:, 2], hit[:, 3] = up_to, above, total - up_to, total - above
        hit[:, 4], hit[:, 5] = here, total - here
        hit[:, 4:, is_number] = np.nan
        hit[:, :4, ~is_number] = np.nan
        (tp, fp), (n_positive, n_negative) = hit, size
        return present, np.stack([tp, n_positive - tp, n_negative - fp, fp])

    def condition(self, code: int, op: Op) -> CellTest:
        """The literal of a code and an op."""
        return CellTest(int(self.column[code]), op, self.values[code])

    def holds(self, code: int, op: Op, rows: Rows) -> np.ndarray:
        """Where the literal of a code holds among rows: [len(rows)] bool."""
        column = self.column[code]
        codes, end = self.codes[rows, column], self.end_of_numbers[column]
        if op in ("==", "!="):
            same: np.ndarray = codes == code
            return same if op == "==" else ~same
        found: np.ndarray = codes <= code if op.endswith("<=") else (codes > code) & (codes < end)
        return ~found if op.startswith("not") else found
