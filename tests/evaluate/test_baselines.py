"""Majority and mean."""

import numpy as np

from raypipe.evaluate.baselines import majority, mean


def test_the_commonest_class_and_the_mean_are_said_of_all():
    assert majority(np.array([2, 0, 2, 1]), 3).tolist() == [2, 2, 2]
    assert majority(np.array([1, 0]), 1).tolist() == [0]
    assert mean(np.array([1.0, 4.0]), 2).tolist() == [2.5, 2.5]
