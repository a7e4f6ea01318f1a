"""Word counts with a linear model."""

import numpy as np
import pytest

from raypipe.arrays.word_counts import tf_idf_classes, tf_idf_numbers

TEXTS = ["red apple here", "red cherry there", "green pear here", "green lime there"] * 5


def test_words_tell_classes_and_numbers():
    assert tf_idf_classes(TEXTS, np.array([1, 1, 0, 0] * 5), ["red thing", "green thing"]).tolist() == [1, 0]
    high, low = tf_idf_numbers(TEXTS, np.array([9.0, 9.0, 1.0, 1.0] * 5), ["red", "green"])
    assert high > 7
    assert low < 3


@pytest.mark.parametrize("texts", [["?", "!", "a", ""], []])
def test_without_words_the_majority_and_the_mean_are_left(texts):
    y = np.array([0, 1, 1, 1])
    assert tf_idf_classes(texts, y, ["red"]).tolist() == [1]
    assert tf_idf_numbers(texts, y, ["red"]).tolist() == [0.75]


def test_one_class_is_the_answer():
    assert tf_idf_classes(TEXTS, np.zeros(20, int), ["red"]).tolist() == [0]
