"""Components, reasoning by presence and absence, losses of margins and of certified radii, with their gradients.

Source: S. Saralajew et al., A Robust Prototype-Based Network with Interpretable RBF Classifier Foundations, AAAI 2025,
arXiv 2412.15499: detection, the stable form, margin and robust losses; D. Kingma and J. Ba, Adam, ICLR 2015.
Departures: one sigma for all components; gradients are written out, checked against differences in the tests.
Cost: O(n K d + n K m) a loss and its gradient for K components and m concepts.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import softmax

TINY = 1e-12


@dataclass
class Network:
    """Weights: components, the logarithm of sigma, and logits of reasoning for each concept."""

    components: np.ndarray
    """[K, d]"""
    log_sigma: np.ndarray
    """[1]"""
    theta: np.ndarray
    """[2 K, m]: m concepts, those of a class side by side; first presence, then absence."""

    def reasoning(self) -> tuple[np.ndarray, np.ndarray]:
        """Weight of presence and of absence of each component: [K, m] each, all of a concept adding up to 1."""
        both = softmax(self.theta, axis=0)
        return both[: len(self.components)], both[len(self.components) :]

    def presence(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How present each component is, in (0, 1], and how far: [n, d] -> [n, K] each."""
        gaps = cdist(X, self.components)
        return np.exp(-gaps / np.exp(self.log_sigma)), gaps

    def concepts(self, presence: np.ndarray) -> np.ndarray:
        """Score of each concept in [0, 1]: [n, K] -> [n, m]."""
        present, absent = self.reasoning()
        found: np.ndarray = presence @ (present - absent) + absent.sum(axis=0)
        return found


class Rivalry(NamedTuple):
    """The true class's concept and the rival's that decide on a row, and how far it is from changing its class."""

    own: np.ndarray
    """[n] concepts"""
    rival: np.ndarray
    """[n] concepts"""
    root: np.ndarray
    """[n]: t*, the factor that presences may change by; below 1 the row is wrong."""


def best_of_classes(scores: np.ndarray, n_concepts: int) -> np.ndarray:
    """Score of each class, that of its best concept: [n, k n_concepts] -> [n, k]."""
    found: np.ndarray = scores.reshape(len(scores), -1, n_concepts).max(axis=2)
    return found


def rivalry(network: Network, presence: np.ndarray, at: np.ndarray, n_concepts: int) -> Rivalry:
    """For rows of classes [n]: the rival concept that is most dangerous to the safest of the class's concepts."""
    present, absent = network.reasoning()
    for_present, for_absent, total = presence @ present, presence @ absent, absent.sum(axis=0)  # [n, m] twice, [m]
    rows, (n, m) = np.arange(len(presence)), for_present.shape
    roots, safest = np.full((n, m), -np.inf), np.zeros((n, m), np.int64)
    for concept in range(n_concepts):
        own = at * n_concepts + concept
        a = -(for_absent[rows, own][:, None] + for_present)
        c = for_present[rows, own][:, None] + for_absent
        found = _root(a, total[own][:, None] - total, c)
        safest = np.where(found > roots, own[:, None], safest)
        roots = np.maximum(roots, found)
    roots[np.arange(m) // n_concepts == at[:, None]] = np.inf  # not against itself
    rival = roots.argmin(axis=1)
    return Rivalry(safest[rows, rival], rival, roots[rows, rival])


def _root(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """The positive t at which c / t + a t + b = 0, for a <= 0 <= c."""
    inner = np.sqrt(np.maximum(b**2 - 4 * a * c, 0.0))
    found: np.ndarray = np.maximum((b + inner) / np.maximum(-2 * a, TINY), TINY)
    return found


def margin_loss(
    network: Network, X: np.ndarray, at: np.ndarray, n_concepts: int, margin: float
) -> tuple[float, Network]:  # fmt: skip
    """Mean over rows of max(0, margin - score of the class + best score of another), and its gradient."""
    presence, gaps = network.presence(X)
    scores = network.concepts(presence)
    n, rows = len(X), np.arange(len(X))
    by_class = scores.reshape(n, -1, n_concepts)
    own = at * n_concepts + by_class[rows, at].argmax(axis=1)
    others = scores.copy().reshape(by_class.shape)
    others[rows, at] = -np.inf
    rival = others.reshape(n, -1).argmax(axis=1)
    losses = np.maximum(0.0, margin - scores[rows, own] + scores[rows, rival])
    slope = np.zeros_like(scores)
    slope[rows, own] -= (losses > 0) / n
    slope[rows, rival] += (losses > 0) / n
    present, absent = network.reasoning()
    by_presence = slope @ (present - absent).T
    return float(losses.mean()), _gradient(
        network, X, presence, gaps, by_presence, presence.T @ slope, (1 - presence).T @ slope, 0.0
    )


def robust_loss(
    network: Network, X: np.ndarray, at: np.ndarray, n_concepts: int, margin: float
) -> tuple[float, Network]:  # fmt: skip
    """Mean over rows of max(0, margin - certified radius), the margin in units of X, and its gradient."""
    presence, gaps = network.presence(X)
    own, rival, t = rivalry(network, presence, at, n_concepts)
    sigma, n, rows = float(np.exp(network.log_sigma[0])), len(X), np.arange(len(X))
    losses = np.maximum(0.0, margin - sigma * np.log(t))
    present, absent = network.reasoning()
    a = -((presence * absent[:, own].T).sum(axis=1) + (presence * present[:, rival].T).sum(axis=1))
    c = (presence * present[:, own].T).sum(axis=1) + (presence * absent[:, rival].T).sum(axis=1)
    # t solves f = c / t + a t + b = 0: dt = -(dc / t + t da + db) / f', and the loss falls by sigma / t dt
    scale = (losses > 0) / n * sigma / t / (a - c / t**2)  # [n], below 0
    by_c, by_a, by_b = scale / t, scale * t, scale
    by_presence = (
        by_c[:, None] * (present[:, own] + absent[:, rival]).T - by_a[:, None] * (absent[:, own] + present[:, rival]).T
    )
    to_own, to_rival = np.zeros((n, present.shape[1])), np.zeros((n, present.shape[1]))
    to_own[rows, own], to_rival[rows, rival] = 1.0, 1.0
    by_present = presence.T @ (by_c[:, None] * to_own - by_a[:, None] * to_rival)
    by_absent = presence.T @ (by_c[:, None] * to_rival - by_a[:, None] * to_own) + by_b @ (to_own - to_rival)
    direct = -float(((losses > 0) * sigma * np.log(t)).mean())  # by log sigma, presences held
    return float(losses.mean()), _gradient(network, X, presence, gaps, by_presence, by_present, by_absent, direct)


def _gradient(
    network: Network,
    X: np.ndarray,
    presence: np.ndarray,
    gaps: np.ndarray,
    by_presence: np.ndarray,
    by_present: np.ndarray,
    by_absent: np.ndarray,
    direct: float,
) -> Network:
    """From slopes by presences [n, K] and by weights of reasoning [K, m] to those of the network's own weights."""
    sigma = float(np.exp(network.log_sigma[0]))
    both, slope = softmax(network.theta, axis=0), np.concatenate([by_present, by_absent])
    theta = both * (slope - (both * slope).sum(axis=0))
    by_gap = -by_presence * presence / sigma
    pull = by_gap / np.maximum(gaps, TINY)  # [n, K]
    components = pull.sum(axis=0)[:, None] * network.components - pull.T @ X
    log_sigma = np.array([direct + float((by_presence * presence * gaps).sum()) / sigma])
    return Network(components, log_sigma, theta)


def radii(network: Network, X: np.ndarray, at: np.ndarray, n_concepts: int) -> np.ndarray:
    """Certified radius of each row for its class, in units of X: [n, d], [n] -> [n]; below 0 the row is wrong."""
    presence, _ = network.presence(X)
    found: np.ndarray = np.exp(network.log_sigma[0]) * np.log(rivalry(network, presence, at, n_concepts).root)
    return found


class Adam:
    """Steps against a gradient, each weight by its own size."""

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate, self.n_steps = learning_rate, 0
        self.first: dict[str, np.ndarray] = {}
        self.second: dict[str, np.ndarray] = {}

    def step(self, network: Network, gradient: Network) -> None:
        """Change the network's weights."""
        self.n_steps += 1
        for name in ("components", "log_sigma", "theta"):
            slope = getattr(gradient, name)
            self.first[name] = 0.9 * self.first.get(name, 0.0) + 0.1 * slope
            self.second[name] = 0.999 * self.second.get(name, 0.0) + 0.001 * slope**2
            mean = self.first[name] / (1 - 0.9**self.n_steps)
            spread = np.sqrt(self.second[name] / (1 - 0.999**self.n_steps))
            setattr(network, name, getattr(network, name) - self.learning_rate * mean / (spread + 1e-8))
