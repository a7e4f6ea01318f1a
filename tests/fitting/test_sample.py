"""A draw of rows as a matrix: whole, repeatable, and of the rows that were asked for."""

import numpy as np
import pyarrow as pa
import pytest

from raypipe.columns import ID, REASON, TEXT_HASH
from raypipe.fitting.sample import ColumnSample

RNG = np.random.default_rng(0)
N = 300
HASHES = RNG.integers(-(2**62), 2**62, N)


def table(*, n: int = N) -> pa.Table:
    """Vectors of which one is null and one isn't finite, a number beside, every tenth row with a reason."""
    vectors = [[float(row), float(-row)] for row in range(n)]
    vectors[1], vectors[2] = None, [float("nan"), 0.0]
    reasons = ["empty" if row % 10 == 9 else None for row in range(n)]
    columns = {ID: [f"r{row}" for row in range(n)], TEXT_HASH: pa.array(HASHES[:n])}
    return pa.table({**columns, "e.v": vectors, "e.n": [0.5] * n, REASON: pa.array(reasons, pa.string())})


def drawn(*, parts: int = 1, **settings) -> ColumnSample:
    whole = ColumnSample(("e.v", "e.n"), **settings)
    for rows in np.array_split(np.arange(N), parts):
        part = ColumnSample(("e.v", "e.n"), **settings)
        part.update(table().take(rows))
        whole.merge(part)
    return whole


def test_all_whole_rows_are_there_with_their_numbers_side_by_side():
    found = drawn()
    assert (found.n_seen, found.n_without, found.X.shape) == (270, 2, (268, 3))
    rows = {int(name[1:]) for name in found.row_ids}
    assert rows == {row for row in range(N) if row % 10 != 9} - {1, 2}
    for name, x in zip(found.row_ids, found.X, strict=True):
        assert x.tolist() == [float(name[1:]), -float(name[1:]), 0.5]


def test_a_draw_is_even_repeatable_and_the_same_for_any_cut():
    first = drawn(n_rows=50)
    for parts in (2, 7):
        again = drawn(n_rows=50, parts=parts)
        assert again.row_ids.tolist() == first.row_ids.tolist()
        assert np.array_equal(again.X, first.X)
    other = drawn(n_rows=50, seed=1)
    assert set(other.row_ids) != set(first.row_ids)
    means = [np.mean([int(name[1:]) for name in drawn(n_rows=50, seed=seed).row_ids]) for seed in range(40)]
    assert abs(np.mean(means) - 149) < 4 * 86 / np.sqrt(50 * 40)  # four standard errors of a uniform draw


def test_only_rows_that_are_asked_for_are_looked_at():
    found = drawn(ids=frozenset({"r5", "r7", "r9", "r1", "no such row"}))
    assert sorted(found.row_ids) == ["r5", "r7"]
    assert (found.n_seen, found.n_without) == (3, 1)


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="n_rows must be at least 1, got 0"):
        ColumnSample(("e.v",), n_rows=0)
    one, other = ColumnSample(("e.v",)), ColumnSample(("e.v",))
    one.update(table(n=5))
    other.update(table(n=5).set_column(2, "e.v", pa.array([[1.0]] * 5)))
    with pytest.raises(ValueError, match="vectors must be of one length, got 2 and 1"):
        one.merge(other)
