import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score, roc_auc_score

from raypipe.evaluate.classifiers import ClassAnswers, calibration_error, compare_classifiers
from raypipe.evaluate.oscr import oscr, oscr_estimate

CLASSES = ["a", "b", "c"]


def answers(rng: np.random.Generator, y: np.ndarray, *, accuracy: float, apart: float = 1.0) -> ClassAnswers:
    label = np.where(rng.random(len(y)) < accuracy, y, (y + 1) % 3)
    return ClassAnswers(label, np.full(len(y), accuracy), rng.normal(apart, 1, len(y)), rng.normal(0, 1, 150))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def y(rng: np.random.Generator) -> np.ndarray:
    return rng.choice(3, 400, p=[0.6, 0.3, 0.1])


def test_measures_are_scikit_learn_s(rng, y):
    one = answers(rng, y, accuracy=0.8)
    found = compare_classifiers({"ours": one}, y, CLASSES, ours="ours")["contenders"]["ours"]
    assert found["accuracy"]["mean"] == pytest.approx(accuracy_score(y, one.label))
    assert found["balanced_accuracy"]["mean"] == pytest.approx(balanced_accuracy_score(y, one.label))
    recalls = [found["recall"][name]["mean"] for name in CLASSES]
    np.testing.assert_allclose(recalls, recall_score(y, one.label, average=None))
    truth = np.repeat([1, 0], [400, 150])
    area = roc_auc_score(truth, np.concatenate([one.familiarity, one.of_unknown]))
    assert found["auroc"]["mean"] == pytest.approx(area)
    assert found["oscr"]["mean"] <= found["accuracy"]["mean"]
    for measure in ("accuracy", "balanced_accuracy", "auroc", "oscr"):
        assert found[measure]["low"] < found[measure]["mean"] < found[measure]["high"]


def test_calibration_is_how_far_probability_is_from_being_right():
    right = np.repeat([True, False], [70, 30])
    assert calibration_error(np.full(100, 0.7), right) == pytest.approx(0)
    assert calibration_error(np.full(100, 0.95), right) == pytest.approx(0.25)
    halves = np.where(np.arange(100) < 50, 1.0, 0.0)
    assert calibration_error(halves, np.arange(100) < 50) == pytest.approx(0)
    assert calibration_error(1 - halves, np.arange(100) < 50) == pytest.approx(1)


def test_a_difference_is_shown_where_there_is_one(rng, y):
    found = compare_classifiers(
        {"ours": answers(rng, y, accuracy=0.9), "worse": answers(rng, y, accuracy=0.7),
         "like": answers(rng, y, accuracy=0.9)}, y, CLASSES, ours="ours",
    )  # fmt: skip
    assert found["ours minus"]["worse"]["accuracy"]["shown"]
    assert not found["ours minus"]["like"]["accuracy"]["shown"]


def test_a_contender_that_is_always_right_has_an_interval_all_the_same(y):
    right = ClassAnswers(y, np.ones(len(y)), np.ones(len(y)), np.empty(0))
    found = compare_classifiers({"right": right}, y, CLASSES, ours="right")["contenders"]["right"]
    assert found["accuracy"]["mean"] == 1
    assert 0.98 < found["accuracy"]["low"] < 1
    assert "auroc" not in found


def test_two_classes_have_the_area_under_the_curve_of_the_second_one_s_probability():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 80)
    p = np.clip(0.3 + 0.3 * y + rng.normal(0, 0.2, 80), 0, 1)
    answers = {"x": ClassAnswers((p > 0.5).astype(int), np.maximum(p, 1 - p), p, np.empty(0), p),
               "right": ClassAnswers(y, np.ones(80), p, np.empty(0), y.astype(float)),
               "silent": ClassAnswers(y, np.ones(80), p, np.empty(0))}  # fmt: skip
    found = compare_classifiers(answers, y, ["a", "b"], ours="x", n_resamples=20)["contenders"]
    pairs = p[y == 1][:, None] - p[y == 0][None]
    assert found["x"]["auc"]["mean"] == pytest.approx((pairs > 0).mean() + (pairs == 0).mean() / 2)
    assert found["x"]["auc"]["low"] < found["x"]["auc"]["mean"] < found["x"]["auc"]["high"]
    assert found["right"]["auc"]["mean"] == 1
    assert 0.85 < found["right"]["auc"]["low"] < 0.95  # of some 40 rows that all were right nobody knows more
    assert "auc" not in found["silent"]


def test_a_class_without_rows_counts_in_no_mean():
    y = np.array([0, 0, 2, 2])
    found = compare_classifiers({"x": ClassAnswers(y, np.ones(4), np.ones(4), np.empty(0))}, y, CLASSES, ours="x")
    assert found["contenders"]["x"]["balanced_accuracy"]["mean"] == 1
    assert found["contenders"]["x"]["recall"]["b"] == {"n": 0}


def test_the_interval_of_oscr_holds_the_area_of_many_draws():
    rng = np.random.default_rng(0)

    def draw() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return rng.normal(1, 1, 120), rng.random(120) < 0.8, rng.normal(0, 1, 80)

    truth = np.mean([oscr(*draw()) for _ in range(200)])
    holds = [one.low <= truth <= one.high for one in (oscr_estimate(*draw()) for _ in range(200))]
    assert 0.9 < np.mean(holds) < 0.99


@pytest.mark.parametrize(
    ("ours", "n", "error", "said"),
    [
        ("b", 4, KeyError, "no 'b' to compare"),
        ("a", 3, ValueError, "an answer each"),
        ("a", 0, ValueError, "got 0 rows"),
    ],
)
def test_other_input_is_refused(ours, n, error, said):
    one = ClassAnswers(np.zeros(4, int), np.ones(4), np.ones(4), np.empty(0))
    with pytest.raises(error, match=said):
        compare_classifiers({"a": one}, np.zeros(n, int), CLASSES, ours=ours)
