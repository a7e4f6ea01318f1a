"""Measures of many labels a row: as scikit-learn has them, thresholds by hand, folds that spread rare labels."""

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_array
from sklearn.metrics import precision_recall_fscore_support

from raypipe.evaluate.many_labels import (
    ManyAnswers,
    best_threshold,
    compare_many,
    hits_of,
    inverse_propensity,
)
from raypipe.evaluate.many_labels_cross_validation import ManyRows, folds_of_lists
from raypipe.fitting.many_labels import LikeliestLabels, ranked

RNG = np.random.default_rng(3)
TRUTH = RNG.random((200, 7)) < [0.6, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02]
TRUTH[:, 0] |= ~TRUTH.any(axis=1)
P = np.clip(TRUTH * 0.4 + RNG.random((200, 7)) * 0.6, 0, 1)
LABELS = [f"l{at}" for at in range(7)]


def of(probability: np.ndarray, threshold: float) -> ManyAnswers:
    return ManyAnswers(ranked(probability), np.full(len(probability), threshold))


@pytest.fixture(scope="module")
def found() -> dict:
    answers = {"a": of(P, 0.5), "noise": of(RNG.random((200, 7)), 0.5)}
    return compare_many(answers, csr_array(TRUTH.astype(float)), LABELS, ours="a", n_resamples=200)


def test_f1_precision_and_recall_are_scikit_learn_s(found):
    said = P.astype(np.float32) >= 0.5
    ours = found["contenders"]["a"]
    for average, name in (("micro", "micro_f1"), ("macro", "macro_f1"), ("samples", "instance_f1")):
        precision, recall, f1, _ = precision_recall_fscore_support(TRUTH, said, average=average, zero_division=0)
        assert ours[name]["mean"] == pytest.approx(f1)
        assert ours[name]["low"] < f1 < ours[name]["high"]
        if average == "micro":
            assert ours["micro_precision"]["mean"] == pytest.approx(precision)
            assert ours["micro_recall"]["mean"] == pytest.approx(recall)


def test_precision_of_the_first_and_the_tail_by_hand(found):
    order, ours = np.argsort(-P, axis=1, kind="stable"), found["contenders"]["a"]
    sorted_ = np.take_along_axis(TRUTH, order, 1)
    assert ours["precision_at_1"]["mean"] == pytest.approx(sorted_[:, 0].mean())
    assert ours["precision_at_5"]["mean"] == pytest.approx(sorted_[:, :5].mean())
    weight = inverse_propensity(TRUTH.sum(axis=0), 200)
    best = sum(np.sort(weight[row])[::-1][:5].sum() for row in TRUTH)
    won = (sorted_[:, :5] * weight[order[:, :5]]).sum()
    assert ours["weighted_precision_at_5"]["mean"] == pytest.approx(won / best)
    is_rare = TRUTH.sum(axis=0) < 50
    rare = (TRUTH & (P >= 0.5))[:, is_rare].sum() / TRUTH[:, is_rare].sum()
    assert ours["rare_recall"]["mean"] == pytest.approx(rare)
    assert ours["reach"]["mean"] == 1.0
    assert found["by_label"]["l3"]["recall"] == pytest.approx((TRUTH & (P >= 0.5))[:, 3].sum() / TRUTH[:, 3].sum())


def test_a_difference_that_is_there_is_shown(found):
    assert found["a minus"]["noise"]["micro_f1"]["shown"]
    assert (found["n_labels"], found["n_rare"]) == (7, int((TRUTH.sum(axis=0) < 50).sum()))


def test_a_rare_label_counts_for_more_and_a_common_one_for_about_one():
    """Jain et al., equation 4, at N = 1,000: 1 + (ln 1000 - 1) (2.5 / (n + 1.5))^.55."""
    found = inverse_propensity(np.array([1, 10, 1000]), 1000)
    np.testing.assert_allclose(found, [1 + 5.9078, 1 + 2.5472, 1 + 0.2185], rtol=2e-3)


def test_what_is_not_said_at_all_is_said_at_no_threshold():
    answers = {"a": of(np.zeros_like(P), 0.0)}
    ours = compare_many(answers, csr_array(TRUTH.astype(float)), LABELS, ours="a", n_resamples=20)["contenders"]["a"]
    assert (ours["micro_recall"]["mean"], ours["reach"]["mean"]) == (0.0, 0.0)


def test_the_best_threshold_is_the_best_of_all():
    answers, truth = ranked(P), csr_array(TRUTH.astype(float))
    best, n_true = best_threshold(answers, hits_of(answers, truth), int(TRUTH.sum())), TRUTH.sum()

    def f1(threshold: float) -> float:
        said = P.astype(np.float32) >= np.float32(threshold)
        return 2 * (said & TRUTH).sum() / (said.sum() + n_true)

    assert f1(best) == pytest.approx(max(f1(one) for one in np.unique(P.astype(np.float32))))


def test_equally_likely_labels_are_said_together():
    answers = LikeliestLabels(np.array([[0, 1, 2]]), np.array([[0.5, 0.5, 0.1]], np.float32))
    assert best_threshold(answers, np.array([[True, False, False]]), 1) == 0.5
    assert best_threshold(answers, np.array([[False, False, False]]), 1) == 1.0


def test_rows_of_a_rare_label_stand_in_different_folds():
    lists = [["common", f"rare{at // 3}"] if at < 30 else ["common"] for at in range(100)]
    labels = sorted({label for of in lists for label in of})
    rows = ManyRows(pa.table({"x": range(100)}), lists, labels)
    fold = folds_of_lists(rows, n_folds=5, seed=0)
    assert np.bincount(fold).tolist() == [20] * 5
    for at in range(10):
        assert len(set(fold[3 * at : 3 * at + 3])) == 3
    with pytest.raises(ValueError, match="folds must be from 2 to the 100 rows, got 1"):
        folds_of_lists(rows, n_folds=1, seed=0)


def test_answers_that_do_not_fit_are_refused():
    truth = csr_array(TRUTH.astype(float))
    with pytest.raises(KeyError, match="have no 'b'"):
        compare_many({"a": of(P, 0.5)}, truth, LABELS, ours="b")
    with pytest.raises(ValueError, match="an answer for each row from all, got 200 rows"):
        compare_many({"a": of(P[:9], 0.5)}, truth, LABELS, ours="a")
