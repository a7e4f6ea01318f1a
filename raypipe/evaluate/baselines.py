"""What a finetuned head must beat without reading a word: the majority or the mean."""

import numpy as np


def majority(y: np.ndarray, n: int) -> np.ndarray:
    """The commonest class of y [m] int, n times; among equally common ones the lowest."""
    return np.full(n, np.bincount(y).argmax())


def mean(y: np.ndarray, n: int) -> np.ndarray:
    """The mean of y [m], n times."""
    return np.full(n, y.mean())
