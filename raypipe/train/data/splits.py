"""Which rows a weak model learns from, which it labels for a strong one, and which test both.

Each row's place is a function of its text and a seed: copies of a text go together, and rows that are added later move
no other. The test rows are the same for all seeds, so that models of different seeds are compared on the same rows.

Source: C. Burns et al., Weak-to-Strong Generalization, arXiv 2312.09390, section 3 (two halves and a test set); the
ceiling learns from the half that the weak model learnt from, as in the authors' public code.
"""

from dataclasses import dataclass

import numpy as np

from raypipe.arrays.hashing import uniform


@dataclass(frozen=True)
class Halves:
    """Row numbers, rising; every row is in one of the three."""

    first: np.ndarray  # [a] ground truth for the weak model and the ceiling
    second: np.ndarray  # [b] labelled by the weak model
    test: np.ndarray  # [c]


def split_halves(text_hash: np.ndarray, *, seed: int, test_share: float) -> Halves:
    """The two halves of a seed and the test rows, which no seed changes: [n] int64 -> rows.

    Raises
    ------
    ValueError
        If the share isn't between 0 and 1, or leaves a part with fewer than two rows.
    """
    if not 0 < test_share < 1:
        raise ValueError(f"test_share must be above 0 and below 1, got {test_share}.")
    is_test = uniform(text_hash, seed=0, purpose="weak-to-strong test") < test_share
    is_first = uniform(text_hash, seed=seed, purpose="weak-to-strong half") < 0.5
    parts = (~is_test & is_first, ~is_test & ~is_first, is_test)
    found = Halves(*(np.flatnonzero(part) for part in parts))
    sizes = [len(part) for part in (found.first, found.second, found.test)]
    if min(sizes) < 2:
        raise ValueError(
            f"the halves and the test must have at least 2 rows each, got {sizes[0]}, {sizes[1]} and {sizes[2]} of "
            f"{len(text_hash)}; give more rows or another test_share."
        )
    return found


def sample_rows(text_hash: np.ndarray, n: int) -> np.ndarray:
    """At most n rows drawn by their texts, rising: [m] int64 -> [<= n]."""
    order = np.argsort(uniform(text_hash, seed=0, purpose="weak-to-strong rows"), kind="stable")
    return np.sort(order[:n])


def exchanged(text_hash: np.ndarray, *, seed: int) -> np.ndarray:
    """For each row another one, of another text where half the rows have one, each once: [n] int64 -> [n].

    The ground of shuffled controls.

    Raises
    ------
    ValueError
        If there is only one row.
    """
    if len(text_hash) < 2:
        raise ValueError(f"to exchange rows there must be at least 2, got {len(text_hash)}.")
    order = np.argsort(uniform(text_hash, seed=seed, purpose="weak-to-strong exchange"), kind="stable")
    partner = np.empty(len(order), np.int64)
    # copies of a text lie side by side: past as many as the commonest has, everybody meets another text
    n_copies = int(np.unique(text_hash, return_counts=True)[1].max())
    partner[order] = np.roll(order, min(n_copies, len(order) - 1))
    return partner
