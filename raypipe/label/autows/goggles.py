"""GOGGLES: rows are grouped by how alike they are to the labelled ones; a few labels name the groups.

Source: N. Das et al., GOGGLES: Automatic Image Labeling with Affinity Coding, SIGMOD 2020, section 4: a mixture of
Gaussians with diagonal covariance over affinities, groups matched to classes by the labelled rows (Hungarian method).
Departures: one affinity function, the cosine in the representation, so that there is no ensemble over functions; the
mixture is fitted on all rows' affinities, not on the anchors' alone.
Cost: O(n a k) for each of at most 200 steps over a labelled rows.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.mixture import GaussianMixture

from raypipe.label.autows.rules import PoolLabels


def goggles(X: np.ndarray, y: np.ndarray, pool: np.ndarray, *, n_classes: int, random_state: int = 0) -> PoolLabels:
    """The pool [u, d] labelled by labelled rows [n, d] of classes [n]; every row is covered.

    Raises
    ------
    ValueError
        If there are fewer rows than classes, or no affinities: a row of each part must be other than 0.
    """
    if len(X) < n_classes or not (np.any(X) and np.any(pool)):
        raise ValueError(f"affinities need {n_classes} labelled rows and vectors other than 0, got {len(X)} rows.")
    rows = _at_length_one(np.concatenate([X, pool]))
    affinity = rows @ rows[: len(X)].T
    mixture = GaussianMixture(
        n_classes, covariance_type="diag", reg_covar=1e-3, max_iter=200, n_init=3, random_state=random_state
    )
    posterior = mixture.fit(affinity).predict_proba(affinity)
    agree = np.stack([posterior[: len(X)][y == label].sum(axis=0) for label in range(n_classes)])  # [k, groups]
    group = linear_sum_assignment(-agree)[1]
    return PoolLabels(posterior[len(X) :][:, group], np.ones(len(pool), bool))


def _at_length_one(X: np.ndarray) -> np.ndarray:
    found: np.ndarray = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
    return found
