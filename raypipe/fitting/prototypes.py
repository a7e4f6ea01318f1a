"""Branches of prototypes over sets of vectors: similarities, the losses of ST-ProtoPNet with their gradients, pushes.

Sets stand end to end, so none is padded: a branch's similarity to a set is that of the set's nearest vector.
Source: C. Wang et al., Learning Support and Trivial Prototypes for Interpretable Image Classification, ICCV 2023, arXiv
2301.04011: similarity, the losses of both branches, push; their weights are those of the authors' code.
Departures: logits are scaled cosines, since bare ones in [0, 1] hardly move a softmax; gradients are written out,
checked against differences in the tests.
Cost: O(N d h + N h D + N m D + m^2 D) a loss and its gradient, for N vectors and m prototypes.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp, softmax

TINY = 1e-12
CLUSTERING, L1 = 0.8, 1e-4
Branch = dict[str, np.ndarray]
"""`into` [d, h], `bias` [h], `out` [h, D]: a layer of hidden units between a vector and its place among prototypes;
`prototypes` [m, D] of length 1, those of a class side by side; `weights` [k, m] from similarities to logits."""


class Terms(NamedTuple):
    """Weights of the losses in which branches differ."""

    separation: float
    discrimination: float = 0.0
    """Of the nearest prototypes of two classes: keeps them apart."""
    closeness: float = 0.0
    """Of the farthest prototypes of two classes: draws them together."""
    orthonormality: float = 1e-3
    """Of the prototypes of a class, summed over classes: where these are few, closeness outweighs it."""


TRIVIAL, SUPPORT, PLAIN = Terms(0.08, discrimination=1.0), Terms(0.48, closeness=1.0), Terms(0.08)


class Sets(NamedTuple):
    """Sets of vectors, end to end."""

    vectors: np.ndarray
    """[N, d]"""
    starts: np.ndarray
    """[n]: where each set begins."""

    def take(self, rows: np.ndarray) -> "Sets":
        """Some of the sets."""
        ends = np.append(self.starts[1:], len(self.vectors))
        sizes = (ends - self.starts)[rows]
        starts = np.cumsum(sizes) - sizes
        places = np.arange(sizes.sum()) + np.repeat(self.starts[rows] - starts, sizes)
        return Sets(self.vectors[places], starts)


def begun(sets: Sets, at: np.ndarray, *, k: int, n_prototypes: int, hidden: int, n_dimensions: int,
          rng: np.random.RandomState) -> Branch:  # fmt: skip
    """A branch whose prototypes are vectors of their classes' sets: each class has a gradient from the start."""
    d = sets.vectors.shape[1]
    into, out = rng.standard_normal((d, hidden)) / np.sqrt(d), rng.standard_normal((hidden, n_dimensions))
    owner = np.repeat(at, np.diff(np.append(sets.starts, len(sets.vectors))))
    rows = [np.resize(rng.permutation(np.flatnonzero(owner == of)), n_prototypes) for of in range(k)]
    own = np.arange(k * n_prototypes) // n_prototypes == np.arange(k)[:, None]
    branch = {"into": into, "bias": np.zeros(hidden), "out": out / np.sqrt(hidden), "weights": np.where(own, 1.0, -0.5)}
    start = placed(branch, sets.vectors[np.concatenate(rows)])
    noise = 1e-2 * rng.standard_normal(start.shape)  # of one row alone, prototypes must not stay equal
    return {**branch, "prototypes": unit(start + noise)}


def unit(A: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    found: np.ndarray = A / np.maximum(np.linalg.norm(A, axis=1, keepdims=True), TINY)
    return found


def placed(branch: Branch, vectors: np.ndarray) -> np.ndarray:
    """Where vectors lie among prototypes, on the unit sphere: [N, d] -> [N, D]."""
    return unit(np.tanh(vectors @ branch["into"] + branch["bias"]) @ branch["out"])


def similarities(branch: Branch, sets: Sets) -> tuple[np.ndarray, np.ndarray]:
    """Cosine of each set's nearest vector, not below 0: [n, m]; and which of all vectors that is: [n, m]."""
    return _nearest(placed(branch, sets.vectors) @ branch["prototypes"].T, sets.starts)


def _nearest(cosines: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    highest = np.maximum.reduceat(cosines, starts, axis=0)
    sizes = np.diff(np.append(starts, len(cosines)))
    is_highest = cosines == np.repeat(highest, sizes, axis=0)
    places = np.where(is_highest, np.arange(len(cosines))[:, None], len(cosines))
    return np.maximum(highest, 0.0), np.minimum.reduceat(places, starts, axis=0)


def loss(branch: Branch, sets: Sets, at: np.ndarray, terms: Terms, *, scale: float) -> tuple[float, Branch]:
    """All losses of a branch for sets of classes [n], and the gradient; `weights` have none here."""
    hidden = np.tanh(sets.vectors @ branch["into"] + branch["bias"])
    raw = hidden @ branch["out"]
    lengths = np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), TINY)
    Z, P = raw / lengths, branch["prototypes"]
    near, places = _nearest(Z @ P.T, sets.starts)
    entropy, by_near = cross_entropy(near, at, branch["weights"], scale=scale)
    grouping, by_groups = _grouping(near, at, len(branch["weights"]), terms)
    by_near = (by_near + by_groups) * (near > 0)
    geometry, by_gram = _geometry(P @ P.T, len(branch["weights"]), terms)
    G = np.zeros((len(Z), len(P)))
    G[places, np.arange(len(P))] = by_near
    by_Z = G @ P
    by_raw = (by_Z - (by_Z * Z).sum(axis=1, keepdims=True) * Z) / lengths
    by_hidden = (by_raw @ branch["out"].T) * (1 - hidden**2)
    return entropy + grouping + geometry, {
        "into": sets.vectors.T @ by_hidden, "bias": by_hidden.sum(axis=0), "out": hidden.T @ by_raw,
        "prototypes": G.T @ Z + (by_gram + by_gram.T) @ P,
    }  # fmt: skip


def cross_entropy(near: np.ndarray, at: np.ndarray, weights: np.ndarray, *, scale: float) -> tuple[float, np.ndarray]:
    """Mean over sets, and its slope by their similarities [n, m]."""
    logits, rows = scale * near @ weights.T, np.arange(len(at))
    slope = softmax(logits, axis=1)
    slope[rows, at] -= 1
    value = float((logsumexp(logits, axis=1) - logits[rows, at]).mean())
    return value, scale / len(at) * slope @ weights


def _grouping(near: np.ndarray, at: np.ndarray, k: int, terms: Terms) -> tuple[float, np.ndarray]:
    """Clustering and separation: the nearest prototype of the set's class, and of another class."""
    rows, own = np.arange(len(at)), np.arange(near.shape[1]) // (near.shape[1] // k) == at[:, None]
    nearest, rival = np.where(own, near, -1).argmax(axis=1), np.where(own, -1, near).argmax(axis=1)
    slope = np.zeros_like(near)
    slope[rows, nearest] -= CLUSTERING / len(at)
    slope[rows, rival] += terms.separation / len(at)
    return float((near * slope).sum()), slope


def _geometry(gram: np.ndarray, k: int, terms: Terms) -> tuple[float, np.ndarray]:
    """Orthonormality within classes, discrimination or closeness between them, by all prototypes' products [m, m]."""
    p = len(gram) // k
    same = np.arange(len(gram))[:, None] // p == np.arange(len(gram)) // p
    gaps = np.where(same & ~np.eye(len(gram), dtype=bool), gram, 0.0)  # of length 1 each: nothing on the diagonal
    slope = terms.orthonormality * np.sign(gaps)
    value = terms.orthonormality * float(np.abs(gaps).sum())
    if terms.discrimination == terms.closeness == 0:
        return value, slope
    pairs = gram.reshape(k, p, k, p).transpose(0, 2, 1, 3).reshape(k * k, p * p)[~np.eye(k, dtype=bool).ravel()]
    weight = (terms.discrimination or -terms.closeness) / len(pairs)
    extreme = pairs.argmax(axis=1) if terms.discrimination else pairs.argmin(axis=1)
    one, other = np.nonzero(~np.eye(k, dtype=bool))
    slope[one * p + extreme // p, other * p + extreme % p] += weight
    return value + weight * float(pairs[np.arange(len(pairs)), extreme].sum()), slope


def alike(branch: Branch) -> tuple[float, float]:
    """Mean cosine of prototypes of two classes, and mean |P P' - 1| of the prototypes [p, D] of one."""
    gram, p = branch["prototypes"] @ branch["prototypes"].T, len(branch["prototypes"]) // len(branch["weights"])
    same = np.arange(len(gram))[:, None] // p == np.arange(len(gram)) // p
    return float(gram[~same].mean()), float(np.abs(gram - np.eye(len(gram)))[same].mean())


def pushed(branch: Branch, sets: Sets, at: np.ndarray) -> tuple[Branch, np.ndarray]:
    """Each prototype at the nearest vector of its class's sets, and which vector that is [m]."""
    k, m = branch["weights"].shape
    owner = np.repeat(at, np.diff(np.append(sets.starts, len(sets.vectors))))
    nearest = np.empty(m, np.int64)
    for of in range(k):
        rows, own = np.flatnonzero(owner == of), slice(of * m // k, (of + 1) * m // k)
        nearest[own] = rows[(placed(branch, sets.vectors[rows]) @ branch["prototypes"][own].T).argmax(axis=0)]
    return {**branch, "prototypes": placed(branch, sets.vectors[nearest])}, nearest


def refitted(branch: Branch, near: np.ndarray, at: np.ndarray, *, scale: float, n_steps: int) -> Branch:
    """The last layer anew for these similarities [n, m]: cross-entropy, and L1 on weights of other classes."""
    k, m = branch["weights"].shape
    other, rows = np.arange(m) // (m // k) != np.arange(k)[:, None], np.arange(len(at))
    weights, adam = {"weights": branch["weights"].copy()}, AdamByName(1e-2)
    for _ in range(n_steps):
        slope = softmax(scale * near @ weights["weights"].T, axis=1)
        slope[rows, at] -= 1
        adam.step(weights, {"weights": scale / len(at) * slope.T @ near + L1 * other * np.sign(weights["weights"])})
    return {**branch, **weights}


class AdamByName:
    """Steps against a gradient, each weight by its own size: D. Kingma and J. Ba, Adam, ICLR 2015, algorithm 1."""

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate, self.n_steps = learning_rate, 0
        self.first: Branch = {}
        self.second: Branch = {}

    def step(self, weights: Branch, gradient: Branch) -> None:
        """Change the weights that have a gradient; their arrays are replaced, not written into."""
        self.n_steps += 1
        for name, slope in gradient.items():
            self.first[name] = 0.9 * self.first.get(name, 0.0) + 0.1 * slope
            self.second[name] = 0.999 * self.second.get(name, 0.0) + 0.001 * slope**2
            mean = self.first[name] / (1 - 0.9**self.n_steps)
            spread = np.sqrt(self.second[name] / (1 - 0.999**self.n_steps))
            weights[name] = weights[name] - self.learning_rate * mean / (spread + 1e-8)
