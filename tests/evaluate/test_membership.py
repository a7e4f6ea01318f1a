"""Scores beside the blind baseline."""

import numpy as np
import pytest

from raypipe.evaluate.membership import MAX_BLIND, told_by


def texts_of(rng, n, *, shift):
    """Random words; with a shift the first half has words of its own."""
    return [
        " ".join(f"w{int(word) + (shift and row < n // 2) * 50}" for word in rng.integers(0, 60, 12))
        for row in range(n)
    ]


def test_a_score_is_told_from_texts_that_give_themselves_away():
    rng, is_member = np.random.default_rng(0), np.arange(400) < 200
    good, none = is_member + rng.normal(0, 0.5, 400), rng.normal(0, 1, 400)
    same = told_by({"good": good, "none": none}, is_member, texts_of(rng, 400, shift=False))
    assert same["good"].auroc > 0.9 > same["good"].tpr_at_5_fpr > 0.4
    assert same["none"].interval[0] < 0.5 < same["none"].interval[1]
    assert abs(same["blind"].auroc - 0.5) < 0.1
    assert told_by({}, is_member, texts_of(rng, 400, shift=True))["blind"].auroc > MAX_BLIND + 0.2


def test_texts_without_words_tell_nothing_and_few_are_refused():
    is_member = np.arange(20) < 10
    assert told_by({}, is_member, ["1"] * 20)["blind"].auroc == 0.5
    with pytest.raises(ValueError, match="a text for each of 5 folds, got 4"):
        told_by({}, np.arange(20) < 4, ["word"] * 20)
    with pytest.raises(ValueError, match="can't be called 'blind'"):
        told_by({"blind": np.zeros(20)}, is_member, ["word"] * 20)
