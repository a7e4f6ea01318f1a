"""What classifies with class vectors: compatibility of rows and classes, weights or rows made from a class's vector.

Source: bilinear, B. Romera-Paredes and P. Torr, An embarrassingly simple approach to zero-shot learning, ICML 2015,
equation 5; weight regression, X. Wang et al., CVPR 2018 (GCNZ), equation 3, here by ridge regression; synthesis, the
light form of Y. Geng et al., OntoZSL, WWW 2021, section 4: Gaussians whose means are regressed from class vectors, with
the covariance that seen classes share. Few-shot prior: J. Snell et al., NeurIPS 2017, with a pseudo-row of the class.
Departures: closed forms instead of gradient descent; no adversarial generator.
Cost: O(n d^2 + d^3).
"""

import numpy as np

from raypipe.label.label_vectors import at_length_one


def bilinear(X: np.ndarray, y: np.ndarray, seen: np.ndarray, *, penalty: float = 1.0) -> np.ndarray:
    """M [d, z] such that x M z is 1 for a row's class and -1 for others: rows [n, d], classes [n], vectors [k, z]."""
    targets = np.where(y[:, None] == np.arange(len(seen)), 1.0, -1.0)
    left = np.linalg.solve(X.T @ X + penalty * np.eye(X.shape[1]), X.T @ targets @ seen)
    found: np.ndarray = np.linalg.solve(seen.T @ seen + penalty * np.eye(seen.shape[1]), left.T).T
    return found


def regressed(seen: np.ndarray, of_seen: np.ndarray, asked: np.ndarray, *, penalty: float = 1.0) -> np.ndarray:
    """What belongs to asked class vectors [u, z] when seen ones [k, z] have these vectors [k, d], by ridge: [u, d].

    In its dual form, as there are fewer classes than dimensions. What the seen have in common is left as it is.
    """
    mean, middle = of_seen.mean(axis=0), seen.mean(axis=0)
    Z = seen - middle
    kernel = Z @ Z.T + penalty * np.eye(len(seen))
    found: np.ndarray = mean + (asked - middle) @ Z.T @ np.linalg.solve(kernel, of_seen - mean)
    return found


def synthesised(
    X: np.ndarray, y: np.ndarray, seen: np.ndarray, unseen: np.ndarray, *, n_each: int = 50, random_state: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Rows [u n_each, d] of unseen classes and the number [u n_each] of each, from rows of the seen.

    Raises
    ------
    ValueError
        If a seen class has no row.
    """
    counts = np.bincount(y, minlength=len(seen))
    if not counts.all():
        raise ValueError(f"every seen class must have a row, class {int(counts.argmin())} has none.")
    means = np.stack([X[y == label].mean(axis=0) for label in range(len(seen))])
    spread = (X - means[y]).std(axis=0)  # a diagonal covariance: classes have fewer rows than dimensions
    centres = regressed(seen, means, unseen)
    rng, labels = np.random.default_rng(random_state), np.repeat(np.arange(len(unseen)), n_each)
    return centres[labels] + spread * rng.normal(size=(len(labels), X.shape[1])), labels


def with_prior(means: np.ndarray, n_rows: int, classes: np.ndarray, *, strength: float = 1.0) -> np.ndarray:
    """Prototypes [k, d] of means [k, d] of so many rows each, and class vectors that count as `strength` rows."""
    return (n_rows * at_length_one(means) + strength * at_length_one(classes)) / (n_rows + strength)


def seen_unseen(
    scores: np.ndarray, y: np.ndarray, is_seen: np.ndarray, *, calibration: float = 0.0
) -> dict[str, float]:
    """Mean recall over seen classes S, over unseen ones U, and H = 2 S U / (S + U), of scores [n, k] and classes [n].

    `calibration` is taken off the scores of seen classes, by a constant that dev classes choose.

    Raises
    ------
    ValueError
        If there is no row of seen, or none of unseen classes.
    """
    said = (scores - calibration * is_seen).argmax(axis=1)
    recall = {int(label): float((said[y == label] == label).mean()) for label in np.unique(y)}
    groups = [[of for label, of in recall.items() if is_seen[label] == wanted] for wanted in (True, False)]
    if not all(groups):
        raise ValueError("rows of seen and of unseen classes must be there, one of them is missing.")
    S, U = (float(np.mean(of)) for of in groups)
    return {"S": S, "U": U, "H": 2 * S * U / (S + U) if S + U else 0.0}
