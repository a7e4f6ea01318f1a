"""Exact match: an answer is right if it is one of those that are accepted, sign by sign."""

from collections.abc import Sequence

import numpy as np


def exact_match(given: Sequence[str | None], accepted: Sequence[Sequence[str]]) -> np.ndarray:
    """[n] bool: whether each answer is accepted; none never is.

    Raises
    ------
    ValueError
        If there aren't as many answers as questions.
    """
    if len(given) != len(accepted):
        raise ValueError(f"there must be an answer to each question, got {len(given)} to {len(accepted)}.")
    return np.array([answer is not None and answer in of for answer, of in zip(given, accepted, strict=True)], bool)
