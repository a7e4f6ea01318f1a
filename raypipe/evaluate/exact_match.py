"""Exact match: an answer is right if it is one of those that are accepted, sign by sign.

Source: P. Rajpurkar et al., SQuAD: 100,000+ Questions for Machine Comprehension of Text, EMNLP 2016, section 6.1.
Departures: articles and punctuation count.
Cost: O(n).
"""

from collections.abc import Sequence

import numpy as np


def exact_match(given: Sequence[str | None], accepted: Sequence[Sequence[str]]) -> np.ndarray:
    """[n] bool: whether each answer is accepted; none never is.

    >>> exact_match(["Paris", None], [["Paris", "paris"], ["Rome"]]).tolist()
    [True, False]

    Raises
    ------
    ValueError
        If there aren't as many answers as questions.
    """
    if len(given) != len(accepted):
        raise ValueError(f"there must be an answer to each question, got {len(given)} to {len(accepted)}.")
    return np.array([answer is not None and answer in of for answer, of in zip(given, accepted, strict=True)], bool)
