"""What is said of labelling functions equals a slow count over rows."""

import numpy as np
import pyarrow as pa
import pytest

from raypipe.arrays.intervals import wilson_interval
from raypipe.label.functions.summary import VoteSummary
from raypipe.label.votes import VoteCounts

RNG = np.random.default_rng(0)
VOTES = RNG.integers(-1, 3, (80, 4))
VOTES[:, 3] = -1
TRUTH = {str(row): int(RNG.integers(0, 3)) for row in range(0, 80, 3)}
FAILED = {5: (1, "no number"), 9: (1, "no date"), 11: (3, "broken")}


def rows(votes: np.ndarray = VOTES) -> pa.Table:
    return pa.table({
        "id": [str(row) for row in range(len(votes))],
        "votes.votes": pa.array(votes.tolist(), pa.list_(pa.int8())),
        "votes.failed": pa.array([[FAILED[row][0]] if row in FAILED else [] for row in range(len(votes))],
                                 pa.list_(pa.int16())),
        "votes.failures": pa.array([[FAILED[row][1]] if row in FAILED else [] for row in range(len(votes))],
                                   pa.list_(pa.string())),
        "reason": pa.nulls(len(votes), pa.string()),
    })  # fmt: skip


def summary(table: pa.Table) -> VoteSummary:
    made = VoteSummary("votes", ("a", "b", "c", "d"), TRUTH)
    made.update(table)
    return made


def test_it_equals_a_count_row_by_row():
    result = summary(rows()).result()
    assert (result["rows"], result["truths"]) == (80, 27)
    assert result["covered"] == sum(any(one >= 0 for one in row) for row in VOTES)
    for number, line in enumerate(result["functions"]):
        own = [row for row in range(80) if VOTES[row, number] >= 0]
        others = {row: [one for at, one in enumerate(VOTES[row]) if at != number and one >= 0] for row in own}
        assert line["coverage"] == pytest.approx(len(own) / 80)
        assert line["overlap"] == pytest.approx(sum(bool(others[row]) for row in own) / 80)
        conflicts = [row for row in own if any(one != VOTES[row, number] for one in others[row])]
        assert line["conflict"] == pytest.approx(len(conflicts) / 80)
        known = [row for row in own if str(row) in TRUTH]
        right = sum(VOTES[row, number] == TRUTH[str(row)] for row in known)
        assert line["judged"] == len(known)
        if known:
            assert line["accuracy"] == right / len(known)
            assert line["interval"] == list(wilson_interval(right / len(known), len(known)))
        assert line["classes"] == sorted({VOTES[row, number] for row in own})
    silent = result["functions"][3]
    assert (silent["coverage"], silent["accuracy"], silent["failed"], silent["failure"]) == (0, None, 1, "broken")
    assert (result["functions"][1]["failed"], result["functions"][1]["failure"]) == (2, "no date")


def test_the_counts_are_those_that_a_label_model_would_make():
    found, whole = summary(rows()).votes, VoteCounts.of(VOTES.astype(np.int8))
    np.testing.assert_array_equal(found.patterns, whole.patterns)
    np.testing.assert_array_equal(found.counts, whole.counts)


def test_distinct_rows_are_those_of_numpy_in_its_order():
    patterns, counts = np.unique(VOTES, axis=0, return_counts=True)
    found = VoteCounts.of(VOTES.astype(np.int8))
    np.testing.assert_array_equal(found.patterns, patterns)
    np.testing.assert_array_equal(found.counts, counts)
    some = found.of_functions([2, 0])
    np.testing.assert_array_equal(some.patterns, np.unique(VOTES[:, [2, 0]], axis=0))
    assert some.n_rows == 80
