"""Answers of many labels: the likeliest first, a block at a time."""

import numpy as np

from raypipe.fitting.many_labels import answers, ranked


def test_the_likeliest_labels_come_first_and_ties_in_order():
    found = ranked(np.array([[0.1, 0.9, 0.0, 0.9], [0.2, 0.2, 0.2, 0.3]]), most=3)
    assert found.place.tolist() == [[1, 3, 0], [3, 0, 1]]
    np.testing.assert_allclose(found.probability, [[0.9, 0.9, 0.1], [0.3, 0.2, 0.2]], rtol=1e-6)


def test_all_labels_are_ranked_where_there_are_few():
    assert ranked(np.array([[0.1, 0.9]])).place.tolist() == [[1, 0]]


def test_blocks_are_put_together_in_order(monkeypatch):
    monkeypatch.setattr("raypipe.fitting.many_labels.BLOCK", 3)
    X, seen = np.random.default_rng(0).random((10, 6)), []

    def says(rows):
        seen.append(len(rows))
        return rows

    whole = answers(says, X)
    assert seen == [3, 3, 3, 1]
    np.testing.assert_array_equal(whole.place, ranked(X).place)
    assert answers(says, X[:0]).place.shape == (0, 6)
