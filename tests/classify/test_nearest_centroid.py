import numpy as np
import pytest
from sklearn import neighbors
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import check_estimator

from raypipe.classify.nearest_centroid import NearestCentroid
from raypipe.models.fitted import open_fitted, save_fitted
from raypipe.storage.folder import Folder


@pytest.fixture
def blobs() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 400)
    return rng.normal(size=(4, 6))[y] * 3 + rng.normal(size=(400, 6)), y


def test_it_keeps_scikit_learn_s_contract():
    check_estimator(NearestCentroid())


def test_it_predicts_as_scikit_learn_s_own(blobs):
    X, y = blobs
    ours, theirs = NearestCentroid().fit(X, y), neighbors.NearestCentroid().fit(X, y)
    np.testing.assert_allclose(ours.centroids_, theirs.centroids_, rtol=1e-12)
    assert (ours.predict(X) == theirs.predict(X)).all()


def test_probabilities_are_those_of_normal_classes_of_one_spread(blobs):
    X, y = blobs
    model = NearestCentroid().fit(X, y)
    means = np.stack([X[y == k].mean(0) for k in range(4)])
    variance = sum(((X[y == k] - means[k]) ** 2).sum() for k in range(4)) / (396 * 6)
    slow = np.array([[np.exp(-((x - mean) ** 2).sum() / (2 * variance)) for mean in means] for x in X[:20]])
    np.testing.assert_allclose(model.predict_proba(X[:20]), slow / slow.sum(1, keepdims=True), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(model.predict_proba(X).sum(1), 1)
    familiar = -((X[:20, None] - means[None]) ** 2).sum(2).min(1)
    np.testing.assert_allclose(model.score_samples(X[:20]), familiar, rtol=1e-9)


@pytest.mark.parametrize("cuts", [[0], [17, 30, 301], [1, 2]])
def test_any_cut_gives_the_same_model(blobs, cuts: list[int]):
    X, y = blobs
    whole = NearestCentroid(normalise=True).fit(X, y)
    merged = None
    for rows in np.split(np.arange(400), cuts):
        if not len(rows):
            continue
        part = NearestCentroid(normalise=True).fit(X[rows], y[rows])
        merged = part if merged is None else merged.merge(part)
    assert merged is not None
    assert merged.classes_.tolist() == whole.classes_.tolist()
    np.testing.assert_allclose(merged.predict_proba(X), whole.predict_proba(X), rtol=1e-9)


@pytest.mark.parametrize("names", [["en", "d\u00e9", "", "zh"], [3, 5, 9, 11], [1.0, 2.0, 3.0, 7.0]])
def test_a_fitted_folder_gives_it_back(tmp_path, blobs, names: list):
    X, y = blobs
    model = NearestCentroid(normalise=True).fit(X, np.array(names)[y])
    folder = Folder(str(tmp_path))
    save_fitted(model, folder)
    again = open_fitted(NearestCentroid, folder)
    assert again.get_params() == {"normalise": True}
    assert again.predict(X).tolist() == model.predict(X).tolist()
    assert (again.predict_proba(X) == model.predict_proba(X)).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["estimator.json", "state.safetensors"]


def test_the_length_of_a_row_does_not_matter_once_normalised(blobs):
    X, y = blobs
    model = NearestCentroid(normalise=True).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(7 * X), model.predict_proba(X), rtol=1e-9)
    assert np.isfinite(model.predict_proba(np.zeros((1, 6)))).all()


def test_edges(blobs):
    X, y = blobs
    one = NearestCentroid().fit(X[:1], y[:1])
    assert one.predict(X[:3]).tolist() == [y[0]] * 3
    assert one.predict_proba(X[:3]).tolist() == [[1.0]] * 3
    ahead = NearestCentroid().partial_fit(X[:5], y[:5], classes=np.arange(4))
    missing = sorted(set(range(4)) - set(y[:5].tolist()))
    assert (ahead.predict_proba(X)[:, missing] == 0).all()
    tie = NearestCentroid().fit([[0.0], [2.0]], ["a", "b"])
    assert tie.predict([[1.0]]).tolist() == ["a"]
    assert tie.predict_proba([[1.0]]).tolist() == [[0.5, 0.5]]


def test_bad_input_is_refused(tmp_path, blobs):
    X, y = blobs
    with pytest.raises(NotFittedError):
        NearestCentroid().predict(X)
    with pytest.raises(NotFittedError):
        NearestCentroid().state()
    with pytest.raises(ValueError, match="NaN"):
        NearestCentroid().fit(np.full((2, 2), np.nan), [0, 1])
    folder = Folder(str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"holds no fitted estimator: it has no estimator\.json"):
        open_fitted(NearestCentroid, folder)
    save_fitted(NearestCentroid().fit(X, y), folder)

    class Other(NearestCentroid): ...

    with pytest.raises(ValueError, match="must hold a Other, got a NearestCentroid"):
        open_fitted(Other, folder)
    folder.write("state.safetensors", b"rubbish")
    with pytest.raises(ValueError, match="is damaged"):
        open_fitted(NearestCentroid, folder)
    folder.write("estimator.json", b"{}")
    with pytest.raises(ValueError, match=r"estimator\.json can't be used"):
        open_fitted(NearestCentroid, folder)
