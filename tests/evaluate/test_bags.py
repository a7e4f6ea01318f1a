import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import r2_score

from raypipe.evaluate.bags import compare_bag_regressors


def test_measures_are_those_of_the_libraries_and_the_better_one_is_shown():
    rng = np.random.default_rng(0)
    y = rng.gamma(1.0, size=200).round(1)  # with ties
    near, far = y + 0.2 * rng.normal(size=200), y + 3.0 * rng.normal(size=200)
    found = compare_bag_regressors({"near": near, "far": far, "mean": np.full(200, y.mean())}, y, ours="near")
    for name, of in (("near", near), ("far", far)):
        measured = found["contenders"][name]
        assert measured["r2"]["mean"] == pytest.approx(r2_score(y, of))
        assert measured["spearman"]["mean"] == pytest.approx(spearmanr(of, y).statistic)
        assert measured["r2"]["low"] < measured["r2"]["mean"] < measured["r2"]["high"]
    assert found["contenders"]["mean"]["spearman"]["mean"] == 0
    assert found["contenders"]["mean"]["r2"]["mean"] == pytest.approx(0)
    assert found["near minus"]["far"]["spearman"]["shown"]
    again = compare_bag_regressors({"near": near, "far": far, "mean": np.full(200, y.mean())}, y, ours="near")
    assert again == found


@pytest.mark.parametrize(
    ("y", "answers", "ours", "said"),
    [
        ([1.0, 1.0, 1.0], {"a": [1.0, 2.0, 3.0]}, "a", "three bags of different numbers"),
        ([1.0, 2.0], {"a": [1.0, 2.0]}, "a", "three bags of different numbers, with an answer each from all, got 2"),
        ([1.0, 2.0, 3.0], {"a": [1.0, 2.0]}, "a", "with an answer each from all"),
        ([1.0, 2.0, 3.0], {"a": [1.0, 2.0, 3.0]}, "b", "have no 'b' to compare"),
    ],
)
def test_what_cannot_be_compared_is_refused(y, answers, ours, said):
    with pytest.raises((ValueError, KeyError), match=said):
        compare_bag_regressors({name: np.array(of) for name, of in answers.items()}, np.array(y), ours=ours)
