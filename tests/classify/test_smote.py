"""SMOTE: new rows on lines between neighbours, parity with imbalanced-learn, counts, any cut of a stream, the leak."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from raypipe.classify.smote import SMOTE, between, gathered, neighbours, smote_n, smote_nc, value_differences

STORED = json.loads((Path(__file__).parent / "stored" / "imbalanced_learn.json").read_text())
"""Rows and figures of imbalanced-learn 0.14.2, k 4; its rows are new ones of class 1."""
Y = np.array(STORED["y"])


def slow_neighbours(distances, k):
    """The k nearest others of each row."""
    n = len(distances)
    return [sorted((j for j in range(n) if j != i), key=lambda j: (distances[i, j], j))[:k] for i in range(n)]


def euclidean(X):
    return np.array([[np.sqrt(((a - b) ** 2).sum()) for b in X] for a in X])


def gap_to_segments(new, X, near):
    """How far each new row is from the nearest line between a row and one of its neighbours [m, k]: [n]."""
    least = np.full(len(new), np.inf)
    for at, others in enumerate(near):
        for other in others:
            line = X[other] - X[at]
            t = np.clip((new - X[at]) @ line / max(line @ line, 1e-12), 0, 1)
            least = np.minimum(least, np.linalg.norm(new - X[at] - t[:, None] * line, axis=1))
    return least


def test_neighbours_are_those_of_a_slow_loop_and_never_oneself():
    X = np.random.default_rng(0).normal(size=(30, 3))
    X[20:25] = X[3]  # copies
    assert neighbours(X, 4).tolist() == slow_neighbours(euclidean(X), 4)
    assert neighbours(X[:3], 9).shape == (3, 2)


@pytest.mark.parametrize(
    "make",
    [
        lambda rng: rng.normal(size=(300, 5)),
        lambda rng: rng.integers(0, 3, (200, 3)).astype(float),  # ties
        lambda rng: np.repeat(rng.normal(size=(30, 4)), 9, axis=0)[rng.permutation(270)],  # equal rows
        lambda rng: rng.normal(size=(200, 4)) * 1e-9 + 1e6,  # products have no digits left
    ],
)
def test_neighbours_of_many_rows_are_those_of_all_differences(make) -> None:
    X = make(np.random.default_rng(0))
    distances = cdist(X, X)
    np.fill_diagonal(distances, np.inf)
    assert (neighbours(X, 5) == distances.argsort(axis=1, kind="stable")[:, :5]).all()


def test_rows_of_both_libraries_lie_on_lines_between_the_same_neighbours():
    X = np.array(STORED["X"])[Y == 1]
    near = slow_neighbours(euclidean(X), 4)
    rng = np.random.RandomState(0)
    ours = between(X, 300, neighbours(X, 4), rng)
    assert gap_to_segments(ours, X, near).max() < 1e-9
    assert gap_to_segments(np.array(STORED["smote"]), X, near).max() < 1e-8
    boxes = between(X, 300, neighbours(X, 4), rng, per_attribute=True)
    assert gap_to_segments(boxes, X, near).max() > 1e-3
    assert ((boxes >= X.min(axis=0)) & (boxes <= X.max(axis=0))).all()


def test_every_row_is_used_equally_often_and_none_is_a_copy():
    X = np.arange(7.0)[:, None] ** 2
    new = between(X, 7 * 3, neighbours(X, 1), np.random.RandomState(0))
    assert len(np.unique(new)) == 21
    assert not np.isin(new, X).any()


def _made_of(row, X, at, near):
    """Whether two numbers lie between a row and a neighbour, and two codes are commonest among the neighbours."""
    alone = [near if one == at else [] for one in range(len(X))]
    votes = [[(X[near, column] == value).sum() for value in (row[column], *X[:, column])] for column in (2, 3)]
    return gap_to_segments(row[None, :2], X[:, :2], alone)[0] < 1e-8 and all(own == max(vote) for own, *vote in votes)


def test_mixed_columns_take_the_code_of_most_neighbours_as_in_the_library():
    X = np.array(STORED["nc_X"])[Y == 1]
    median = np.median(X[:, :2].std(axis=0))
    squares = euclidean(X[:, :2]) ** 2 + median**2 * (X[:, None, 2:] != X[None, :, 2:]).sum(axis=2)
    near = slow_neighbours(squares, 4)
    ours = smote_nc(X, 60, nominal=[2, 3], k=4, random_state=1)
    for row in (*ours, *np.array(STORED["nc"])):
        assert any(_made_of(row, X, at, near[at]) for at in range(len(X)))


def test_value_differences_are_the_library_s():
    C = np.array(STORED["n_X"])
    np.testing.assert_allclose(value_differences(C, Y, C[:12]), STORED["vdm"], atol=1e-8)
    new = smote_n(C, Y, 1, 24, k=4)
    assert new.shape == (24, 4)
    for column in range(4):
        assert set(new[:, column]) <= set(C[Y == 1, column])


def test_a_nominal_row_is_the_vote_of_itself_and_its_neighbours():
    X = np.array([[0, 1], [0, 1], [0, 2], [5, 5], [5, 5], [4, 4]])
    assert smote_n(X, np.array([1, 1, 1, 0, 0, 0]), 1, 3, k=2).tolist() == [[0, 1]] * 3


def test_balanced_accuracy_on_digits_is_the_library_s_within_2_points():
    """Digit 8 cut to 20 rows, ten seeds, the same splits: its figures are stored."""
    X, y = load_digits(return_X_y=True)
    y, found = (y == 8).astype(int), []
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(len(y))
        train, test = order[: len(y) // 2], order[len(y) // 2 :]
        train = np.concatenate([train[y[train] == 0], train[y[train] == 1][:20]])
        model = SMOTE(random_state=seed).fit(X[train], y[train])
        found.append(balanced_accuracy_score(y[test], model.predict(X[test])))
    assert np.mean(found) == pytest.approx(np.mean(STORED["digits_balanced_accuracy"]), abs=0.02)


def test_counts_are_those_asked_for():
    X, y = np.random.default_rng(0).normal(size=(120, 2)), np.repeat([0, 1, 2], [80, 30, 10])
    for settings, counts in (
        ({}, [80, 80, 80]),
        ({"percent": 200}, [80, 90, 30]),
        ({"percent": 50}, [80, 45, 15]),
        ({"percent": 0, "under": 200}, [15, 30, 10]),
        ({"percent": 100, "under": 100}, [60, 60, 20]),
    ):
        rows, labels = SMOTE(random_state=0, **settings).fit_resample(X, y)
        assert np.bincount(labels).tolist() == counts
        again = SMOTE(random_state=0, **settings).fit_resample(X, y)
        np.testing.assert_array_equal(rows, again[0])


def test_a_class_as_large_as_the_largest_stays_as_it_is():
    X, y = np.random.default_rng(0).normal(size=(26, 2)), np.repeat([0, 1, 2], [10, 10, 6])
    _, found = SMOTE(percent=100, random_state=0).fit_resample(X, y)
    assert np.bincount(found).tolist() == [10, 10, 12]


def test_a_stream_gives_the_same_rows_for_any_cut_and_order():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(500, 3)), np.where(rng.random(500) < 0.05, "rare", "common")
    whole = gathered([(X, y)], majority="common", n_majority=40)
    assert (whole[1] == "rare").sum() == (y == "rare").sum()
    assert (whole[1] == "common").sum() == 40
    order = rng.permutation(500)
    for cuts in ([10, 11, 400], [250]):
        parts = [(X[rows], y[rows]) for rows in np.split(order, cuts)]
        again = gathered(parts, majority="common", n_majority=40)
        for one, other in zip(whole, again, strict=True):
            np.testing.assert_array_equal(one, other)
    assert not np.array_equal(gathered([(X, y)], majority="common", n_majority=40, seed=1)[0], whole[0])


def test_resampling_before_the_split_leaks():
    """Labels are noise, so nothing can be learned; whoever resamples first believes otherwise."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(600, 8)), (rng.random(600) < 0.1).astype(int)

    def score(before):
        Z, t = SMOTE(random_state=0).fit_resample(X, y) if before else (X, y)
        order = np.random.default_rng(1).permutation(len(t))
        train, test = order[: len(t) // 2], order[len(t) // 2 :]
        rows = (Z[train], t[train]) if before else SMOTE(random_state=0).fit_resample(Z[train], t[train])
        return balanced_accuracy_score(t[test], KNeighborsClassifier(5).fit(*rows).predict(Z[test]))

    assert score(before=True) > 0.75
    assert score(before=False) < 0.6


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SMOTE().fit(np.eye(4), ["a", "a", "a", "b"]), "class 'b' must have two rows at least"),
        (lambda: SMOTE(k=0).fit(np.eye(5), [0, 0, 0, 1, 1]), "k be at least 1, got 2 rows and k 0"),
        (lambda: SMOTE().fit(np.eye(2), ["a", "a"]), "two classes at least, got 1 class: 'a'"),
        (lambda: SMOTE(under=0).fit(np.eye(4), [0, 0, 1, 1]), "under above 0, got None and 0"),
        (lambda: SMOTE(percent=-1).fit(np.eye(4), [0, 0, 1, 1]), "percent must be at least 0"),
        (lambda: smote_nc(np.eye(3), 2, nominal=[0, 1, 2]), "all 3 are nominal; smote_n is for these"),
        (lambda: gathered([], majority=0, n_majority=1), "got no part"),
    ],
)
def test_bad_input_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
