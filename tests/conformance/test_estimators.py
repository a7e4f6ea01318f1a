"""What every estimator on rows of numbers keeps to; each check catches one made wrong on purpose."""

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_estimator

from raypipe.classify.nearest_centroid import NearestCentroid
from raypipe.models.fitted import open_fitted, save_fitted
from raypipe.storage.folder import Folder
from tests.conformance.finding import ROOT, classes_with, head_of

ESTIMATORS = [
    kind
    for kind in classes_with("fit", "predict", "predict_proba", "state", "from_state")
    if "votes" not in inspect.signature(kind.fit).parameters  # label models have checks of their own
]
TRAINED_LONG = {
    "CategoryQueries", "ClassDependentCompression", "DiffusionClassifier", "OpenSetHead", "STProtoPNet", "ShrinkMatch",
    "TsetlinMachine",
}  # fmt: skip
RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 120)
X = RNG.normal(size=(3, 4))[Y] * 3 + RNG.normal(size=(120, 4))
COUNTS = RNG.poisson(np.array([[9, 1, 3, 4], [1, 9, 3, 4], [4, 1, 9, 4]])[Y]).astype(float)
NAMES = np.array(["cat", "dog", "é"])


def made(kind: Any) -> Any:
    """One with a fixed seed, where it draws."""
    return kind(**({"random_state": 0} if "random_state" in inspect.signature(kind).parameters else {}))


def given(kind: Any) -> np.ndarray:
    """Rows of what it takes: counts, or any numbers."""
    return COUNTS if get_tags(made(kind)).input_tags.positive_only else X


def keeps_its_settings(kind: Any) -> None:
    settings = [one for one in inspect.signature(kind).parameters.values() if one.name != "self"]
    assert all(one.kind is one.KEYWORD_ONLY and one.default is not one.empty for one in settings)
    assert json.loads(json.dumps(made(kind).get_params())) == clone(made(kind)).get_params()


def keeps_scikit_learn_s_contract(kind: Any) -> None:
    check_estimator(made(kind))


def predicts_the_same_from_its_state(kind: Any) -> None:
    for y in (Y, NAMES[Y]):
        X = given(kind)
        fitted = made(kind).fit(X, y)
        state = load(save({name: np.ascontiguousarray(x) for name, x in fitted.state().items()}))
        again = made(kind).from_state(state)
        assert again.predict(X).tolist() == fitted.predict(X).tolist()
        np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    with pytest.raises(NotFittedError):
        made(kind).state()


def gives_the_same_for_the_same_seed(kind: Any) -> None:
    X = given(kind)
    one, other = (made(kind).fit(X, Y).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def gives_probabilities(kind: Any) -> None:
    X = given(kind)
    found = made(kind).fit(X, Y).predict_proba(X)
    assert found.shape == (120, 3)
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_array_equal(found.argmax(axis=1), made(kind).fit(X, Y).predict(X))


def knows_the_edges(kind: Any) -> None:
    """One class and one row are right or refused; numbers that aren't finite are refused, NaN unless it is missing."""
    X = given(kind)
    for rows in (np.flatnonzero(Y == 1), np.flatnonzero(Y == 1)[:1]):
        try:
            assert set(made(kind).fit(X[rows], Y[rows]).predict(X)) == {1}
        except ValueError:  # refused
            continue
    takes_nan = get_tags(made(kind)).input_tags.allow_nan
    for bad in (np.inf,) if takes_nan else (np.nan, np.inf):
        broken = X.copy()
        broken[5, 1] = bad
        with pytest.raises(ValueError, match=r"NaN|[Ii]nf|finite"):
            made(kind).fit(broken, Y)
        with pytest.raises(ValueError, match=r"NaN|[Ii]nf|finite"):
            made(kind).fit(X, Y).predict(broken)


def merges_to_the_whole(kind: Any) -> None:
    if not hasattr(kind, "merge"):
        return
    X = given(kind)
    whole = made(kind).fit(X, Y).predict_proba(X)
    for cut in ([40], [1, 7, 90]):
        first, *others = (made(kind).fit(X[rows], Y[rows]) for rows in np.split(np.arange(120), cut))
        for other in others:
            first.merge(other)
        np.testing.assert_allclose(first.predict_proba(X), whole, rtol=1e-9)


def takes_constant_columns_and_rare_classes(kind: Any) -> None:
    """A column that never varies leaves probabilities that are numbers; so does a class of one row, or is refused."""
    rows = given(kind)
    flat = np.column_stack([rows, np.full(120, 7.0)])
    assert np.isfinite(made(kind).fit(flat, Y).predict_proba(flat)).all()
    try:
        fitted = made(kind).fit(rows, np.where(np.arange(120) == 0, 3, Y))
    except ValueError:
        return
    found = fitted.predict_proba(rows)
    assert found.shape == (120, 4)
    assert np.isfinite(found).all()


def says_a_number_and_a_text_a_row_where_it_promises(kind: Any) -> None:
    rows = given(kind)
    fitted = made(kind).fit(rows, Y)
    if hasattr(kind, "score_samples"):
        found = fitted.score_samples(rows[:7])
        assert found.shape == (7,)
        assert np.isfinite(found).all()
    if hasattr(kind, "explain"):
        said = fitted.explain(rows[:7], ["a", "b", "c", "d"])
        assert len(said) == 7
        assert all(isinstance(one, str) for one in said)


def has_a_card_at_the_head_of_its_file(kind: Any) -> None:
    assert "\nSource: " in head_of(kind)
    assert "\nCost: " in head_of(kind)


CHECKS = [
    keeps_its_settings,
    keeps_scikit_learn_s_contract,
    predicts_the_same_from_its_state,
    gives_the_same_for_the_same_seed,
    gives_probabilities,
    knows_the_edges,
    merges_to_the_whole,
    takes_constant_columns_and_rare_classes,
    says_a_number_and_a_text_a_row_where_it_promises,
    has_a_card_at_the_head_of_its_file,
]


def with_check(kind: type, check: Callable[[Any], None]) -> Any:
    """A test's parameters; scikit-learn's sixty fits of what is trained step by step take many seconds."""
    is_slow = check is keeps_scikit_learn_s_contract and kind.__name__ in TRAINED_LONG
    return pytest.param(
        kind, check, id=f"{kind.__name__}-{check.__name__}", marks=[pytest.mark.slow] if is_slow else []
    )


@pytest.mark.parametrize(("kind", "check"), [with_check(kind, check) for kind in ESTIMATORS for check in CHECKS])
def test_an_estimator(kind: type, check: Callable[[Any], None]) -> None:
    check(kind)


@pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda kind: kind.__name__)
def test_a_folder_of_one_gives_it_back(kind: Any, tmp_path: Path) -> None:
    folder, X = Folder(str(tmp_path)), given(kind)
    fitted = made(kind).fit(X, NAMES[Y])
    save_fitted(fitted, folder)
    assert sorted(entry.path for entry in folder.files()) == ["estimator.json", "state.safetensors"]
    assert open_fitted(kind, folder).predict(X).tolist() == fitted.predict(X).tolist()


def test_importing_them_imports_neither_ray_nor_torch() -> None:
    modules = sorted({kind.__module__ for kind in ESTIMATORS})
    code = f"import sys, {', '.join(modules)}; print([name for name in ('ray', 'torch') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_all_are_found() -> None:
    assert NearestCentroid in ESTIMATORS
    assert {kind.__name__ for kind in ESTIMATORS} >= TRAINED_LONG


class HasPositions(NearestCentroid):
    def __init__(self, normalise=False):
        super().__init__(normalise=normalise)


class Changes(NearestCentroid):
    def __init__(self, *, normalise=False):
        self.normalise = not normalise


class ForgetsSums(NearestCentroid):
    def from_state(self, state):
        return super().from_state({**state, "sums": state["sums"] * 0})


class Draws(NearestCentroid):
    def predict_proba(self, X):
        noise = np.random.default_rng().uniform(size=(len(X), len(self.classes_)))
        return noise / noise.sum(axis=1, keepdims=True)


class AddsUpToTwo(NearestCentroid):
    def predict_proba(self, X):
        return 2 * super().predict_proba(X)


class TakesNaN(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        return self

    def predict(self, X):
        return np.ones(len(X), int)


class Divides(NearestCentroid):
    def predict_proba(self, X):
        with np.errstate(invalid="ignore"):
            return super().predict_proba(X) * (np.ptp(X, axis=0) / np.ptp(X, axis=0)).sum()


class SaysOneNumber(NearestCentroid):
    def score_samples(self, X):
        return super().score_samples(X).mean()


class ExplainsNothing(NearestCentroid):
    def explain(self, X, names):
        return []


class MergesNothing(NearestCentroid):
    def merge(self, other):
        return self


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        (HasPositions, keeps_its_settings),
        (Changes, keeps_its_settings),
        (Changes, keeps_scikit_learn_s_contract),
        (ForgetsSums, predicts_the_same_from_its_state),
        (Draws, gives_the_same_for_the_same_seed),
        (AddsUpToTwo, gives_probabilities),
        (MergesNothing, merges_to_the_whole),
        (Divides, takes_constant_columns_and_rare_classes),
        (SaysOneNumber, says_a_number_and_a_text_a_row_where_it_promises),
        (ExplainsNothing, says_a_number_and_a_text_a_row_where_it_promises),
        (Draws, has_a_card_at_the_head_of_its_file),
    ],
)
def test_a_wrong_one_is_caught(wrong: type, check: Callable[[Any], None]) -> None:
    with pytest.raises((AssertionError, RuntimeError)):
        check(wrong)
    check(NearestCentroid)


def test_one_that_takes_nan_is_caught() -> None:
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        knows_the_edges(TakesNaN)
