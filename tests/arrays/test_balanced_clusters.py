"""Balanced clusters: every row once, sizes alike, rows of a cluster more alike than chance."""

import numpy as np
import pytest

from raypipe.arrays.balanced_clusters import balanced_clusters


def rows(n: int, *, n_groups: int = 8, noise: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    group = rng.integers(0, n_groups, n)
    X = rng.normal(size=(n_groups, 12))[group] + noise * rng.normal(size=(n, 12))
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), group


@pytest.mark.parametrize(("n", "size"), [(1, 1), (2, 1), (7, 3), (100, 8), (513, 64), (64, 64), (1000, 1)])
def test_every_row_is_in_one_cluster_and_sizes_are_alike(n, size):
    found = balanced_clusters(rows(n)[0], size, seed=0)
    assert sorted(np.concatenate(found).tolist()) == list(range(n))
    sizes = [len(part) for part in found]
    assert max(sizes) <= size
    assert max(sizes) <= 2 * min(sizes)


def test_rows_of_a_cluster_are_alike():
    X, group = rows(512)

    def similarity(parts: list[np.ndarray]) -> float:
        return float(np.mean([(X[part] @ X[part].T).mean() for part in parts]))

    chance = np.array_split(np.random.default_rng(1).permutation(512), 16)
    found = balanced_clusters(X, 32, seed=0)
    assert similarity(found) > similarity(chance) + 0.3
    pure = [np.bincount(group[part]).max() / len(part) for part in found]
    assert np.mean(pure) > 0.6
    finer = [similarity(balanced_clusters(X, size, seed=0)) for size in (128, 32, 8)]
    assert finer == sorted(finer)


def test_the_seed_decides_and_equal_rows_are_split_too():
    X, _ = rows(200)
    one, again, other = (balanced_clusters(X, 16, seed=seed) for seed in (0, 0, 1))
    assert [part.tolist() for part in one] == [part.tolist() for part in again]
    assert [part.tolist() for part in one] != [part.tolist() for part in other]
    same = np.ones((10, 3), np.float32)
    assert [len(part) for part in balanced_clusters(same, 3, seed=0)] == [3, 2, 3, 2]  # of 5 and 5
    assert balanced_clusters(np.zeros((0, 3), np.float32), 3, seed=0) == []


def test_what_cannot_be_clustered_is_refused():
    with pytest.raises(ValueError, match="size must be at least 1"):
        balanced_clusters(rows(4)[0], 0, seed=0)
    broken = rows(4)[0]
    broken[1, 1] = np.nan
    with pytest.raises(ValueError, match="finite"):
        balanced_clusters(broken, 2, seed=0)
