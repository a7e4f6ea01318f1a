from itertools import product

import numpy as np
import pytest

from raypipe.classify.tables import NEGATED, OPS, Cells, CellTest, Counted
from tests.classify.mixed_tables import mixed_table


def holds(cell: object, op: str, value: float | str) -> bool:
    """The definition, a cell at a time."""
    if op.startswith("not "):
        return not holds(cell, op.removeprefix("not "), value)
    if op == "!=":
        return not holds(cell, "==", value)
    is_number = isinstance(cell, float)
    if op == "==":
        return not is_number and ("" if cell is None else cell) == value
    return is_number and (cell <= value if op == "<=" else cell > value)


def test_counts_of_all_literals_equal_brute_force() -> None:
    X, y = mixed_table(0)
    counted, rng = Counted(X), np.random.default_rng(0)
    checked = 0
    for _ in range(4):
        rows = np.flatnonzero(rng.random(len(X)) < 0.4)
        positive, negative = rows[y[rows]], rows[~y[rows]]
        present, counts = counted.counts(positive, negative)
        for at, op in product(range(len(present)), range(len(OPS))):
            if np.isnan(counts[0, op, at]):
                continue
            one = counted.condition(present[at], OPS[op])
            tp, fp = (sum(holds(X[row, one.column], one.op, one.value) for row in of) for of in (positive, negative))
            assert counts[:, op, at].tolist() == [tp, len(positive) - tp, len(negative) - fp, fp]
            checked += 1
    assert checked > 200


def test_where_a_literal_holds_is_by_the_definition() -> None:
    X, _ = mixed_table(1)
    counted, cells, rows = Counted(X), Cells(X), np.arange(len(X))[::3]
    for code, op in product(range(len(counted.values)), OPS):
        one = counted.condition(code, op)
        if isinstance(one.value, str) != (op in ("==", "!=")):
            continue
        slow = np.array([holds(cell, op, one.value) for cell in X[:, one.column]])
        assert (cells.holds(one) == slow).all()
        assert (cells.holds(one.negated) == ~slow).all()
        assert (counted.holds(code, op, rows) == slow[rows]).all()


def test_a_complement_also_covers_what_is_missing() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 1))
    x[rng.random(100) < 0.3] = np.nan
    cells, n_missing = Cells(x), int(np.isnan(x).sum())
    above, complement = cells.holds(CellTest(0, ">", 0.0)), cells.holds(CellTest(0, "not <=", 0.0))
    assert complement.sum() == above.sum() + n_missing
    assert (complement >= above).all()
    present, counts = Counted(x).counts(np.arange(50), np.arange(50, 100))
    assert np.isfinite(counts[:, :4, :-1]).all()  # all four are there to be chosen, but for the missing cell itself
    assert Counted(x).condition(present[-1], "==") == CellTest(0, "==", "")


def test_negating_twice_changes_nothing() -> None:
    assert all(NEGATED[NEGATED[op]] == op != NEGATED[op] for op in OPS)


def test_infinity_is_refused() -> None:
    with pytest.raises(ValueError, match="numbers must be finite, column 1 holds infinity"):
        Counted(np.array([["a", 1.0], ["b", float("inf")]], dtype=object))
