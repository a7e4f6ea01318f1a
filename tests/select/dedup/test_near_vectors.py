"""Near pairs of vectors by cells, against all pairs."""

import numpy as np
import pyarrow as pa
import pytest

from raypipe.arrays.spherical_kmeans import spherical_kmeans
from raypipe.select.dedup.cells import CENTROIDS, CellSizes, VectorCells, cells_of, centroids_file, groups_of
from raypipe.select.dedup.clusters import clusters_of
from raypipe.select.dedup.near_vectors import NearVectors
from raypipe.select.dedup.pair_recall import PairRecall
from raypipe.select.dedup.unit_vectors import ZERO, unit_vectors
from raypipe.storage.folder import Folder

D = 24


def vectors(n: int, rng: np.random.Generator) -> np.ndarray:
    """Rows in loose groups, a quarter of them near an other one."""
    centres = rng.normal(size=(12, D))
    X = centres[rng.integers(0, 12, n)] + 0.7 * rng.normal(size=(n, D))
    near = rng.permutation(n)[: n // 4]
    X[near] = X[rng.integers(0, n, len(near))] + 0.1 * rng.normal(size=(len(near), D)) * np.linalg.norm(X[0]) / 5
    return X.astype(np.float32)


def table_of(X, cells=None, reasons=None):
    n = len(X)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(np.asarray(X, np.float32).ravel()), X.shape[1])
    columns = {"id": [str(row) for row in range(n)], "text_hash": list(range(n)), "embeddings.embedding": lists}
    if cells is not None:
        columns["cells.keys"] = cells
    return pa.table({**columns, "reason": pa.array(reasons or [None] * n, pa.string())})


def unit(X):
    return unit_vectors(table_of(X)["embeddings.embedding"])[0]


def all_pairs(X, least):
    cosines = np.triu(X @ X.T, 1)
    return set(zip(*np.nonzero(cosines >= least), strict=True)), cosines


def looked_through(X, tmp_path, *, margin=0.15, least=0.9, n_groups=1, k=9, at_once=37):
    """The linkers of all groups, that have taken in the rows."""
    folder = Folder(str(tmp_path))
    centroids = spherical_kmeans(unit(X), k, seed=0)
    folder.write(CENTROIDS, centroids_file(centroids))
    op = VectorCells("embeddings.embedding", folder, str(k), margin)
    cells = op.prepare(table_of(X))["keys"]
    group_of = np.arange(len(centroids)) % n_groups
    found = []
    for group in range(n_groups):
        linker = NearVectors("embeddings.embedding", "cells", least, group_of, "", group, n_groups)
        for start in range(0, len(X), at_once):
            linker.update(table_of(X[start : start + at_once], cells.slice(start, at_once)), start)
        found.append(linker)
    return found, cells, centroids


def pairs_of(linkers):
    found = [(a, b, c) for linker in linkers for a, b, c in linker.pairs()]
    return {(min(a, b), max(a, b)) for one, other, _ in found for a, b in zip(one, other, strict=True)}


def test_pairs_are_those_of_brute_force_in_any_number_of_groups_and_any_cut(tmp_path, monkeypatch):
    monkeypatch.setattr("raypipe.select.dedup.near_vectors.TILE", 16)
    X = vectors(600, np.random.default_rng(0))
    wanted, cosines = all_pairs(unit(X), 0.9)
    clear = {pair for pair in wanted if cosines[pair] > 0.901}
    assert len(clear) > 100
    links = []
    for n_groups, at_once in ((1, 37), (3, 600)):
        linkers, *_ = looked_through(X, tmp_path, margin=0.6, n_groups=n_groups, at_once=at_once)
        found = pairs_of(linkers)
        assert clear <= found
        assert all(cosines[pair] > 0.899 for pair in found)
        tables = [linker.result() for linker in linkers]
        of = [np.concatenate([table[name].to_numpy() for table in tables]) for name in ("row", "other")]
        links.append(clusters_of(*of))
        direct = clusters_of(*np.array(sorted(found)).T[::-1])
        np.testing.assert_array_equal(links[-1].rows, direct.rows)
        np.testing.assert_array_equal(links[-1].cluster, direct.cluster)
    np.testing.assert_array_equal(links[0].cluster, links[1].cluster)


def test_few_links_are_held_of_rows_that_are_all_alike(tmp_path, monkeypatch):
    monkeypatch.setattr("raypipe.select.dedup.near_vectors.TILE", 16)
    monkeypatch.setattr("raypipe.select.dedup.near_vectors.MAX_LINKS", 50)
    X = np.ones((200, D), np.float32) + 1e-3 * np.random.default_rng(0).normal(size=(200, D))
    (linker,), *_ = looked_through(X, tmp_path, k=1)
    table = linker.result()
    assert table["row"].to_pylist() == list(range(1, 200))
    assert set(table["other"].to_pylist()) == {0}


@pytest.mark.parametrize("margin", [0.0, 0.05, 0.3])
def test_the_recall_that_is_measured_is_that_of_the_pairs(tmp_path, margin):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(500, D)).astype(np.float32)  # no groups: borders of cells run anywhere
    X[250:] = X[:250] + 0.4 * rng.normal(size=(250, D))
    linkers, cells, centroids = looked_through(X, tmp_path, margin=margin, k=60)
    wanted, cosines = all_pairs(unit(X), 0.9)
    found, asked = pairs_of(linkers), np.arange(0, 500, 5)
    of_asked = [(a, b) for a in asked for b in range(500) if a != b and (min(a, b), max(a, b)) in wanted]
    of_asked = [pair for pair in of_asked if cosines[min(pair), max(pair)] < 1 - 1e-5]
    seen = sum((min(pair), max(pair)) in found for pair in of_asked)
    made = PairRecall("embeddings.embedding", "cells", unit(X)[asked], centroids, margin, 0.9, "")
    whole, parts = made.from_state(made.state()), made.from_state(made.state())
    whole.update(table_of(X, cells))
    for start in (0, 130, 390):
        part, stop = made.from_state(made.state()), {0: 130, 130: 390, 390: 500}[start]
        part.update(table_of(X[start:stop], cells.slice(start, stop - start)))
        parts.merge(part)
    assert whole.result() == parts.result()
    assert abs(whole.n_pairs - len(of_asked)) <= 1
    assert abs(whole.n_seen - seen) <= 2
    assert (seen == len(of_asked)) is (margin == 0.3)


def test_a_row_is_at_home_with_the_nearest_and_visits_those_within_the_margin():
    centroids = np.eye(3, 4, dtype=np.float32)
    X = unit(np.array([[1.0, 0.9, 0.0, 0], [0.0, 0.0, 1.0, 0.2], [0.2, 1.0, 0.9, 0]]))
    cells, counts = cells_of(X, centroids, 0.1)
    assert counts.tolist() == [2, 1, 2]
    assert cells.tolist() == [0, 1, 2, 1, 2]
    assert cells_of(X, centroids, 0.0)[0].tolist() == [0, 2, 1]


def test_what_is_no_vector_has_a_reason(tmp_path):
    X = vectors(4, np.random.default_rng(2))
    X[1, 3], X[2] = np.nan, 0.0
    folder = Folder(str(tmp_path))
    folder.write(CENTROIDS, centroids_file(unit(X)[:1]))
    reasons = [None, None, None, "empty"]
    table = VectorCells("embeddings.embedding", folder, "d").prepare(table_of(X, reasons=reasons))
    assert table["keys"].to_pylist() == [[0], None, None, None]
    assert table["reason"].to_pylist() == [None, "a vector with numbers that aren't finite", ZERO, "empty"]
    assert np.isfinite(unit(np.array([[1e30, 2e38], [1e-38, 0]]))).all()
    with pytest.raises(ValueError, match="vectors must be of 24 numbers, as before, got 5"):
        VectorCells("embeddings.embedding", folder, "d").prepare(table_of(np.ones((2, 5))))
    with pytest.raises(ValueError, match="vectors must be of numbers, got bits"):
        unit_vectors(pa.chunked_array([pa.array([[1, 2]], pa.list_(pa.uint8(), 2))]))


def test_groups_hold_what_fits_and_a_cluster_larger_than_memory_is_refused_with_its_rows():
    counts = np.array([[5, 1], [3, 0], [2, 2], [0, 0]])
    group = groups_of(counts, row_bytes=10, memory_bytes=70)
    sizes = np.bincount(group, counts.sum(axis=1) * 10)
    assert sizes.max() <= 70
    assert len(sizes) == 2
    assert groups_of(counts, row_bytes=10, memory_bytes=1e9).tolist() == [0, 0, 0, 0]
    with pytest.raises(
        ValueError, match=r"memory_gb must hold the largest cluster, 6 rows of 10 bytes .* or --clusters"
    ):
        groups_of(counts, row_bytes=10, memory_bytes=50)


def test_sizes_of_cells_add_up():
    cells = pa.array([[2, 0], [0], None, [2]], pa.list_(pa.int32()))
    table = table_of(np.ones((4, 2)), cells, [None, None, "empty", None])
    made, other = CellSizes("cells"), CellSizes("cells")
    made.update(table.slice(0, 1))
    other.update(table.slice(1))
    made.merge(other)
    assert made.counts.tolist() == [[1, 1], [0, 0], [2, 0]]
    assert made.result() == {"cells": 3, "rows": 3, "visits": 1, "largest": 2}
