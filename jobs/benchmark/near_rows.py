"""Made vectors with planted near ones, in a file, and the pairs that are found of them."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

BATCH = 20_000
Json = dict[str, Any]
MEMORY_BYTES = 1e9
"""What a pass may hold, as --memory-gb."""
SAMPLE_ROWS = 50_000


def write_vectors(path: Path, n: int, d: int, *, seed: int) -> None:
    """[n, d] float16: topics inside themes, each row about one, one row in ten near an earlier one (cosine .9 to 1)."""
    rng = np.random.default_rng(seed)
    themes = rng.normal(size=(100, d)).astype(np.float32)
    topics = themes[rng.integers(0, 100, 5000)] + rng.normal(size=(5000, d)).astype(np.float32)
    X = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(n, d))
    step = min(BATCH, max(1, n // 10))
    for start in range(0, n, step):
        m = min(step, n - start)
        rows = topics[rng.integers(0, 5000, m)] + rng.normal(size=(m, d)).astype(np.float32)
        if start:
            near = rng.choice(m, m // 10, replace=False)
            of = np.asarray(X[np.sort(rng.integers(0, start, len(near)))], np.float32)
            apart = rng.uniform(0, 0.45, (len(near), 1)) * np.linalg.norm(of, axis=1, keepdims=True) / np.sqrt(d)
            rows[near] = of + apart * rng.normal(size=of.shape)
        X[start : start + m] = rows
    X.flush()


def semantic(scratch: str, n: int, d: int, n_sampled: int, min_cosine: float, margin: float, seed: int) -> Json:
    """Near pairs inside clusters, beside brute force for some rows; seconds by the clock and of the CPU."""
    from raypipe.select.dedup.cells import groups_of
    from raypipe.select.dedup.near_vectors import row_bytes

    path = Path(scratch) / "vectors.npy"
    write_vectors(path, n, d, seed=seed)
    X, k, rng = np.load(path, mmap_mode="r"), max(1, round(n**0.5)), np.random.default_rng(seed + 1)
    sample, rows = (np.sort(rng.choice(n, min(m, n), replace=False)) for m in (SAMPLE_ROWS, n_sampled))
    begun = _now()
    folder = _centroids(X[sample], k, scratch, seed)
    centred = _now()
    cells, counts = _cells(X, folder, margin)
    seconds = {"centroids": centred - begun, "cells": _now() - centred}
    group_of = groups_of(counts, row_bytes=row_bytes(d), memory_bytes=MEMORY_BYTES)
    seconds["pairs"], n_links, found = _pairs(X, cells, group_of, min_cosine, rows)
    peak, begun = _peak_gb(), _now()
    wanted = np.unique(np.concatenate([*_brute(X, rows, min_cosine), np.zeros(0, np.int64)]))
    if not len(wanted):
        raise ValueError(f"{len(rows):,} of {n:,} rows must have near pairs, got none; raise --rows or --sampled.")
    return {
        "n": n, "dimensions": d, "min_cosine": min_cosine, "clusters": k, "groups": int(group_of.max()) + 1,
        "links": n_links, "visits": float(counts[:, 1].sum() / n), "sampled": len(rows), "pairs": len(wanted),
        "recall": float(np.isin(wanted, found).mean()), "peak_gb": peak,
        "seconds": {name: of.tolist() for name, of in seconds.items()}, "brute_s": (_now() - begun).tolist(),
    }  # fmt: skip


def _centroids(X: np.ndarray, k: int, scratch: str, seed: int) -> Any:
    """The folder that holds the centroids of some rows."""
    from raypipe.arrays.spherical_kmeans import spherical_kmeans
    from raypipe.select.dedup.cells import CENTROIDS, centroids_file
    from raypipe.storage.folder import Folder

    folder = Folder(scratch)
    folder.write(CENTROIDS, centroids_file(spherical_kmeans(_unit(X), k, seed=seed)))
    return folder


def _cells(X: np.ndarray, folder: Any, margin: float) -> tuple[list[pa.Array], np.ndarray]:
    """The cells of each batch of rows, and how many rows are at home in each cell and visit it [k, 2]."""
    from raypipe.select.dedup.cells import CellSizes, VectorCells

    op, sizes, cells = VectorCells("v.v", folder, "bench", margin), CellSizes("cells"), list[pa.Array]()
    for _, table in _tables(X):
        found = op.prepare(table)
        cells.append(found["keys"].combine_chunks())
        sizes.update(found.rename_columns(["cells.keys", "reason"]))
    return cells, sizes.counts


def _pairs(
    X: np.ndarray, cells: list[pa.Array], group_of: np.ndarray, min_cosine: float, rows: np.ndarray
) -> tuple[np.ndarray, int, np.ndarray]:
    """Seconds of looking for links, how many there are, and all pairs of some rows as low * n + high."""
    from raypipe.select.dedup.near_vectors import NearVectors

    n, n_groups, n_links, seconds = len(X), int(group_of.max()) + 1, 0, np.zeros(2)
    is_asked, found = np.isin(np.arange(n), rows), [np.zeros(0, np.int64)]
    for group in range(n_groups):
        begun, linker = _now(), NearVectors("v.v", "cells", min_cosine, group_of, "", group, n_groups)
        for number, (start, table) in enumerate(_tables(X)):
            linker.update(table.append_column("cells.keys", cells[number]), start)
        n_links += len(linker.result())
        seconds += _now() - begun
        for one, other, _ in linker.pairs():  # once more, for the pairs themselves
            mine = is_asked[one] | is_asked[other]
            found.append(np.minimum(one, other)[mine] * n + np.maximum(one, other)[mine])
    return seconds, n_links, np.concatenate(found)


def _now() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def _unit(X: np.ndarray) -> np.ndarray:
    X = np.asarray(X, np.float32)
    return np.asarray(X / np.linalg.norm(X, axis=1, keepdims=True), np.float32)


def _tables(X: np.ndarray) -> Iterator[tuple[int, pa.Table]]:
    """The rows as a stage of embeddings gives them, some at a time."""
    for start in range(0, len(X), BATCH):
        rows = np.asarray(X[start : start + BATCH], np.float32)
        lists = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
        yield start, pa.table({"v.v": lists, "reason": pa.nulls(len(rows), pa.string())})


def _brute(X: np.ndarray, rows: np.ndarray, min_cosine: float) -> Iterator[np.ndarray]:
    """Every pair of sampled rows with all others, as low * n + high, in float32."""
    n, asked = len(X), _unit(X[rows])
    for start in range(0, n, BATCH // 4):
        cosines = asked @ _unit(X[start : start + BATCH // 4]).T
        one, other = np.nonzero(cosines >= min_cosine)
        a, b = rows[one], start + other
        yield np.minimum(a, b)[a != b] * n + np.maximum(a, b)[a != b]


def _peak_gb() -> float:
    """The most memory that this process has held itself; pages of the file that lie in it are the kernel's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024 / 1e9
    return float("nan")
