"""SMOTE's descendants: new rows of small classes where the class is hard to tell, by imbalanced-learn.

`borderline`: between rows most of whose neighbours are of others; `svm`: along a support vector machine's border;
`kmeans`: inside clusters where the class is at home; `adasyn`: the more, the more neighbours are of other classes.
Source: H. Han et al., Borderline-SMOTE, ICIC 2005; H. Nguyen et al., Borderline over-sampling, IJKESDP 3, 2011; F. Last
et al., Oversampling for imbalanced learning based on k-means and SMOTE, arXiv 1711.00837; H. He et al., ADASYN, IJCNN
2008; all as imbalanced-learn 0.14 has them (`pip install 'raypipe[resample]'`).
Departures: features are standardised before, and new rows brought back after, as `smote` does.
Cost: theirs; neighbours among all rows, O(n m d) for m rows of small classes, of `svm` up to O(n^2 d).
"""

from typing import Any, Literal

import numpy as np

from raypipe.arrays.scaling import mean_and_scale

Sampler = Literal["smote", "borderline", "svm", "kmeans", "adasyn"]
NAMES: dict[str, str] = {
    "borderline": "BorderlineSMOTE", "svm": "SVMSMOTE", "kmeans": "KMeansSMOTE", "adasyn": "ADASYN",
}  # fmt: skip
"""What imbalanced-learn calls them."""


def new_rows(
    name: str, X: np.ndarray, y: np.ndarray, counts: dict[Any, int], *, k: int, random_state: Any
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Rows [m, d] and classes [m] that bring classes of X [n, d], y [n] to these counts (adasyn: about).

    Raises
    ------
    ValueError
        If imbalanced-learn isn't installed, or finds no row to start from.
    """
    try:
        from imblearn import over_sampling
    except ModuleNotFoundError as error:
        raise ValueError(
            f"sampler {name!r} needs imbalanced-learn; pip install 'raypipe[resample]', or take 'smote'."
        ) from error
    n_neighbors = "n_neighbors" if name == "adasyn" else "k_neighbors"
    settings = {n_neighbors: k, "sampling_strategy": counts, "random_state": random_state}
    mean, scale = mean_and_scale(X)
    try:
        rows, labels = getattr(over_sampling, NAMES[name])(**settings).fit_resample((X - mean) / scale, y)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"sampler {name!r} finds nothing to start from ({error}); take 'smote'.") from error
    return rows[len(X) :] * scale + mean, labels[len(X) :]
