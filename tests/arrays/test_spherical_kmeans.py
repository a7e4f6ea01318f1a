"""Spherical k-means: what it promises, on rows whose groups are plain."""

import numpy as np
import pytest

from raypipe.arrays.spherical_kmeans import nearest, spherical_kmeans


def unit(X: np.ndarray) -> np.ndarray:
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


def groups(rng: np.random.Generator, *, k: int = 5, n: int = 300, noise: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    centres, label = unit(rng.normal(size=(k, 16))), rng.integers(0, k, n)
    return unit(centres[label] + noise * rng.normal(size=(n, 16))), label


def test_it_finds_groups_and_its_centroids_are_their_directions() -> None:
    X, label = groups(np.random.default_rng(0))
    centroids = max((spherical_kmeans(X, 5, seed=seed) for seed in range(5)), key=lambda C: nearest(X, C)[1].sum())
    found, cosine = nearest(X, centroids)
    assert len({(a, b) for a, b in zip(found, label, strict=True)}) == 5
    np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1, rtol=1e-5)
    for cell in range(5):
        mean = X[found == cell].sum(axis=0)
        np.testing.assert_allclose(centroids[cell], mean / np.linalg.norm(mean), atol=1e-5)
    np.testing.assert_allclose(cosine, (X @ centroids.T).max(axis=1), rtol=1e-5)


def test_more_iterations_never_lower_the_cosines_and_the_seed_decides() -> None:
    X, _ = groups(np.random.default_rng(1), noise=0.4)
    sums = [nearest(X, spherical_kmeans(X, 7, seed=3, n_iterations=n))[1].sum() for n in range(6)]
    assert (np.diff(sums) > -1e-3).all()
    np.testing.assert_array_equal(spherical_kmeans(X, 7, seed=3), spherical_kmeans(X, 7, seed=3))
    assert not np.array_equal(spherical_kmeans(X, 7, seed=3), spherical_kmeans(X, 7, seed=4))


def test_edges() -> None:
    one = unit(np.ones((1, 4)))
    np.testing.assert_allclose(spherical_kmeans(one, 3, seed=0), one, rtol=1e-6)
    copies = np.repeat(unit(np.eye(4)[:2]), 50, axis=0)
    assert len(spherical_kmeans(copies, 60, seed=0)) == 2
    opposite = unit(np.array([[1.0, 0.0], [-1.0, 0.0]]))
    assert np.isfinite(spherical_kmeans(opposite, 1, seed=0)).all()
    with pytest.raises(ValueError, match="k must be at least 1 and there must be rows, got 0 for 1 rows"):
        spherical_kmeans(one, 0, seed=0)
    with pytest.raises(ValueError, match="got 2 for 0 rows"):
        spherical_kmeans(np.zeros((0, 4), np.float32), 2, seed=0)
