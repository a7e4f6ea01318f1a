import sys

import numpy as np
import pytest

from raypipe.classify.smote import SMOTE
from raypipe.classify.smote_descendants import NAMES


def overlapping(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """200 rows of class a about 0 and 30 of class b in a near heap, on features of different sizes."""
    rng = np.random.default_rng(seed)
    X = np.concatenate([rng.normal(size=(200, 3)), rng.normal(size=(30, 3)) * 0.8 + 1.2])
    return X * [1.0, 50.0, 0.01] + [0.0, 7.0, 0.0], np.repeat(["a", "b"], [200, 30])


@pytest.mark.parametrize("name", NAMES)
def test_new_rows_are_imbalanced_learn_s_on_standardised_features(name: str) -> None:
    over_sampling = pytest.importorskip("imblearn.over_sampling")
    X, y = overlapping()
    found, labels = SMOTE(sampler=name, k=4, random_state=0).fit_resample(X, y)
    assert (found[:230] == X).all()
    n_new = len(found) - 230
    assert n_new == 170 if name in ("borderline", "svm") else abs(n_new - 170) <= 15
    assert labels[230:].tolist() == ["b"] * n_new
    neighbours = "n_neighbors" if name == "adasyn" else "k_neighbors"
    theirs = getattr(over_sampling, NAMES[name])(
        **{neighbours: 4}, sampling_strategy={"b": 200}, random_state=np.random.RandomState(0)
    )
    rows, _ = theirs.fit_resample((X - X.mean(axis=0)) / X.std(axis=0), y)
    np.testing.assert_allclose(found[230:], rows[230:] * X.std(axis=0) + X.mean(axis=0), rtol=1e-9, atol=1e-9)


def test_new_rows_of_the_border_are_nearer_to_the_other_class() -> None:
    pytest.importorskip("imblearn")
    X, y = overlapping()
    gaps = {}
    for name in ("smote", "borderline"):
        rows = SMOTE(sampler=name, random_state=0).fit_resample(X, y)[0][230:]
        gaps[name] = (((rows - X[:200].mean(axis=0)) / X[:200].std(axis=0)) ** 2).sum(axis=1).mean()
    assert gaps["borderline"] < 0.8 * gaps["smote"]


@pytest.mark.parametrize("name", NAMES)
def test_a_classifier_learns_from_them(name: str) -> None:
    pytest.importorskip("imblearn")
    X, y = overlapping()
    fitted = SMOTE(sampler=name, random_state=0).fit(X, y)
    assert fitted.score(*overlapping(1)) > 0.75
    again = SMOTE(sampler=name, random_state=0).fit(X, y)
    assert (fitted.predict_proba(X) == again.predict_proba(X)).all()


def test_without_imbalanced_learn_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imblearn", None)
    with pytest.raises(ValueError, match=r"'adasyn' needs imbalanced-learn; pip install 'raypipe\[resample\]'"):
        SMOTE(sampler="adasyn").fit(*overlapping())


def test_where_no_row_can_be_started_from_another_is_offered() -> None:
    pytest.importorskip("imblearn")
    X = np.concatenate([np.zeros((40, 2)), np.full((5, 2), 9.0)]) + np.random.default_rng(0).normal(size=(45, 2)) * 0.1
    with pytest.raises(ValueError, match=r"sampler 'adasyn' finds nothing to start from .* take 'smote'"):
        SMOTE(sampler="adasyn", k=3).fit_resample(X, np.repeat([0, 1], [40, 5]))


@pytest.mark.parametrize("settings", [{"sampler": "tomek"}, {"sampler": "svm", "per_attribute": True}])
def test_a_sampler_that_cannot_be_is_refused(settings: dict) -> None:
    with pytest.raises(ValueError, match=r"sampler must be smote or, without per_attribute, one of borderline, svm"):
        SMOTE(**settings).fit(*overlapping())
