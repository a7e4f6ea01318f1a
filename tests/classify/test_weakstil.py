"""WeakSTIL: bags of digits, instances told without labels of their own, streams, gradients, and what it refuses."""

import inspect
import tracemalloc

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.utils.estimator_checks import check_estimator

import raypipe.classify.weakstil as module
from raypipe.classify.weakstil import BagMeans, WeakSTIL, bag_loss


def bags_of(X, y, n_bags, rng, size=50):
    """Bags of images, a Beta(.8, 2) share of them of digit 3: instances, numbers, bags, which are 3."""
    threes, others = np.flatnonzero(y == 3), np.flatnonzero(y != 3)
    rows, numbers = [], []
    for share in rng.beta(0.8, 2, n_bags):
        n = round(share * size)
        rows.append(np.concatenate([rng.choice(threes, n), rng.choice(others, size - n)]))
        numbers.append(np.full(size, n / size))
    at = np.concatenate(rows)
    return X[at], np.concatenate(numbers), np.repeat(np.arange(n_bags), size), y[at] == 3


@pytest.fixture(scope="module")
def bags():
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(y))
    half = order[:900]
    features = PCA(32, random_state=0).fit(X[half]).transform(X)
    return bags_of(features[half], y[half], 100, rng), bags_of(features[order[900:]], y[order[900:]], 200, rng)


@pytest.fixture(scope="module")
def fitted(bags):
    X, y, of, _ = bags[0]
    return WeakSTIL(random_state=0).fit(X, y, bags=of)


def quality(model, bags):
    """R^2 of bags and AUROC of instances."""
    X, y, of, is_three = bags
    said = model.predict_bags(X, of)
    return r2_score(y[::50], [said[str(at)] for at in range(200)]), roc_auc_score(is_three, model.predict(X))


@pytest.mark.learns
def test_bags_are_told_and_so_are_instances_that_had_no_label(bags, fitted):
    r2, area = quality(fitted, bags[1])
    assert r2 > 0.9
    assert area > 0.97


@pytest.mark.learns
def test_shuffled_numbers_teach_nothing(bags):
    X, y, of, _ = bags[0]
    areas = []
    for seed in range(4):
        numbers = np.random.default_rng(seed).permutation(y[::50])
        areas.append(quality(WeakSTIL(max_iter=30, random_state=seed).fit(X, numbers[of], bags=of), bags[1])[1])
    assert 0.3 < np.mean(areas) < 0.7


def test_gradients_are_those_of_differences():
    rng = np.random.default_rng(0)
    Z, sizes = rng.normal(size=(9, 3)), np.array([4, 1, 4])
    rest = (Z, np.repeat([0, 1, 2], sizes), sizes, rng.normal(size=3), 2, 0.1)
    weights = rng.normal(size=(3 + 1) * 2 + 3)
    _, gradient = bag_loss(weights, *rest)
    steps = 1e-6 * np.eye(len(weights))
    right = [(bag_loss(weights + s, *rest)[0] - bag_loss(weights - s, *rest)[0]) / 2e-6 for s in steps]
    np.testing.assert_allclose(gradient, right, atol=1e-8)


def test_every_bag_counts_alike_whatever_its_size():
    """An instance that is copied within its bag changes nothing."""
    rng = np.random.default_rng(1)
    parts = [(rng.normal(size=(3, 2)), float(at)) for at in range(6)]
    more = [(np.tile(X, (1 + 7 * (at % 2), 1)), y) for at, (X, y) in enumerate(parts)]
    one, other = (WeakSTIL(random_state=0, max_iter=20).fit_bags(of) for of in (parts, more))
    np.testing.assert_allclose(other.predict(parts[0][0]), one.predict(parts[0][0]), rtol=1e-4)


def test_a_stream_of_bags_is_read_once_one_bag_at_a_time_and_little_is_kept(bags, monkeypatch):
    X, y, of, _ = bags[0]
    seen = []
    monkeypatch.setattr(WeakSTIL, "_learn", lambda self, kept, numbers, rng: seen.extend(map(len, kept)))
    WeakSTIL(max_instances=20).fit_bags((np.tile(X[of == at], (at % 3 + 1, 1)), y[at * 50]) for at in range(30))
    assert seen == [20] * 30


def test_of_forty_large_bags_one_is_held_at_a_time(monkeypatch):
    monkeypatch.setattr(WeakSTIL, "_learn", lambda self, kept, numbers, rng: None)
    sizes = [100] * 20 + [20_000] * 20
    tracemalloc.start()
    WeakSTIL(max_instances=50).fit_bags((np.full((n, 8), float(at)), float(at)) for at, n in enumerate(sizes))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 20_000 * 8 * 8, peak  # all bags are twenty times one


def test_means_of_bags_are_the_same_for_any_cut(bags, fitted):
    X, _, of, _ = bags[1]
    whole, scores = fitted.predict_bags(X, of), fitted.predict(X)
    first, second = BagMeans(), BagMeans()
    first.update(of[:1234], scores[:1234])
    for start in range(1234, len(of), 999):
        second.update(of[start : start + 999], scores[start : start + 999])
    first.merge(second)
    assert first.result() == pytest.approx(whole)


def test_it_keeps_scikit_learn_s_contract_and_its_state(bags, fitted):
    check_estimator(WeakSTIL(random_state=0, max_iter=100))
    again = WeakSTIL(random_state=0).from_state(fitted.state())
    np.testing.assert_array_equal(again.predict(bags[1][0]), fitted.predict(bags[1][0]))
    same = WeakSTIL(random_state=0, max_iter=5)
    X, y, of, _ = bags[0]
    np.testing.assert_array_equal(*(same.fit(X, y, bags=of).predict(X) for _ in range(2)))
    assert all(one.kind is one.KEYWORD_ONLY for one in list(inspect.signature(WeakSTIL).parameters.values()))
    assert "\nSource: " in (module.__doc__ or "")
    with pytest.raises(NotFittedError):
        WeakSTIL().state()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: WeakSTIL().fit(np.eye(2), [1.0, 2.0], bags=np.array(["a", "a"])), "one number, 'a' has several"),
        (lambda: WeakSTIL().fit(np.eye(2), [1.0, 2.0], bags=np.array(["a"])), "one name an instance"),
        (
            lambda: WeakSTIL().fit_bags([(np.empty((0, 3)), 1.0)]),
            r"must have an instance, bag 0 has the shape \(0, 3\)",
        ),
        (lambda: WeakSTIL().fit_bags([(np.full((2, 2), np.nan), 1.0)]), "those of bag 0 are not"),
        (lambda: WeakSTIL().fit_bags([]), "there must be a bag, got none"),
        (lambda: WeakSTIL(hidden=0).fit(np.eye(2), [1.0, 2.0]), "must be at least 1, alpha at least 0, got 0"),
    ],
)
def test_bad_input_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
