"""Data sets that several studies share: scikit-learn's, and real ones of a folder given with --data."""

import os
from pathlib import Path

import numpy as np

from raypipe.storage.folder import Folder

FOLDER = "RAYPIPE_STUDY_DATA"
"""Environment variable, set by the job on its workers: no trial depends on where the data lie."""
STAGE = "RAYPIPE_STUDY_STAGE"
"""Likewise, the URI of the folder of what the study has made of its data once for all trials."""
_OF_SKLEARN = ("digits", "wine", "breast_cancer", "iris")


def vectors(name: str) -> tuple[np.ndarray, np.ndarray]:
    """X [n, d] float64 and y [n] classes from 0 on, of a set that scikit-learn brings along.

    Raises
    ------
    ValueError
        If it has none of that name.
    """
    from sklearn import datasets

    if name not in _OF_SKLEARN:
        raise ValueError(f"data must be one of {', '.join(_OF_SKLEARN)}, got {name!r}.")
    found = getattr(datasets, f"load_{name}")()
    return np.asarray(found.data, dtype=np.float64), np.asarray(found.target, dtype=np.int64)


def real(name: str) -> Path:
    """The folder of a real set.

    Raises
    ------
    FileNotFoundError
        If --data wasn't given, or has no such set.
    """
    path = Path(os.environ.get(FOLDER, "")) / name
    if not os.environ.get(FOLDER) or not path.is_dir():
        raise FileNotFoundError(f"data set {name!r} is not at {path}; give --data FOLDER, which has it as a folder.")
    return path


def images(name: str) -> tuple[np.ndarray, np.ndarray]:
    """X [n, d] float64 in [0, 1], a row an image, and y [n] classes from 0 on: `digits`, or fashion_mnist of --data."""
    import pyarrow.parquet as pq

    if name == "digits":
        X, y = vectors(name)
        return X / 16, y
    table = pq.read_table(sorted(real(name).glob("*.parquet")))
    X = np.stack([np.frombuffer(image, np.uint8) for image in table["image"].to_pylist()]) / 255
    return X, table["label"].to_numpy().astype(np.int64)


def made(name: str) -> Folder | None:
    """What the study's stage has made of a data set; None where a trial is run without it."""
    return Folder(os.environ[STAGE]) / name if os.environ.get(STAGE) else None


def split(n: int, sizes: tuple[int, ...], seed: int) -> list[np.ndarray]:
    """Disjoint random rows of the sizes asked for, by the seed alone, so that all arms have the same.

    Raises
    ------
    ValueError
        If there are fewer rows.
    """
    if sum(sizes) > n:
        raise ValueError(f"sizes {sizes} must fit into {n} rows, they are {sum(sizes)}.")
    order = np.random.default_rng(seed).permutation(n)
    return np.split(order[: sum(sizes)], np.cumsum(sizes)[:-1])
