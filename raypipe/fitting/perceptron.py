"""Layers of ReLU under a linear one, with the gradient of whatever is asked of their logits.

Adam moves them by name (raypipe.fitting.prototypes).
Source: D. Rumelhart et al., Learning representations by back-propagating errors, Nature 1986; K. He et al., Delving
Deep into Rectifiers, ICCV 2015, equation 10 (how weights start).
Cost: O(n w) for w weights, forwards, and twice that backwards.
"""

from itertools import pairwise

import numpy as np
from scipy.special import log_softmax

from raypipe.contracts.estimator import State

Layers = dict[str, np.ndarray]
"""`weights0` [d, h], `bias0` [h], `weights1` ... from the input on."""


def begun(sizes: tuple[int, ...], rng: np.random.RandomState) -> Layers:
    """Random layers of so many inputs, hidden units and outputs."""
    layers: Layers = {}
    for at, (d, h) in enumerate(pairwise(sizes)):
        layers[f"weights{at}"] = rng.standard_normal((d, h)) * np.sqrt(2 / d)
        layers[f"bias{at}"] = np.zeros(h)
    return layers


def activations(layers: Layers, X: np.ndarray) -> list[np.ndarray]:
    """X and what each layer makes of it, the logits last."""
    found, last = [X], len(layers) // 2 - 1
    for at in range(last + 1):
        Z = found[-1] @ layers[f"weights{at}"] + layers[f"bias{at}"]
        found.append(Z if at == last else np.maximum(Z, 0.0))
    return found


def logits(layers: Layers, X: np.ndarray) -> np.ndarray:
    """Of rows: [n, d] -> [n, k]."""
    return activations(layers, X)[-1]


def slopes(
    layers: Layers, found: list[np.ndarray], by_logits: np.ndarray, *, by_last_hidden: np.ndarray | None = None
) -> tuple[Layers, np.ndarray]:
    """The gradient of a loss whose slope by the logits [n, k] is given, and its slope by X [n, d].

    `by_last_hidden` [n, h] is what else the loss asks of the last hidden layer.
    """
    gradient: Layers = {}
    slope, last = by_logits, len(layers) // 2 - 1
    for at in range(last, -1, -1):
        gradient[f"weights{at}"] = found[at].T @ slope
        gradient[f"bias{at}"] = slope.sum(axis=0)
        slope = slope @ layers[f"weights{at}"].T
        if at == last and by_last_hidden is not None:
            slope = slope + by_last_hidden
        if at:
            slope = slope * (found[at] > 0)
    return gradient, slope


def cross_entropy(
    logits: np.ndarray, targets: np.ndarray, weight: np.ndarray | None = None
) -> tuple[float, np.ndarray]:
    """Of logits [n, k] and target probabilities [n, k], summed by weights [n]; and its slope [n, k]. None: the mean."""
    weight = np.full(len(logits), 1 / max(len(logits), 1)) if weight is None else weight
    logs = log_softmax(logits, axis=1)
    value = -float(weight @ (targets * logs).sum(axis=1))
    total = targets.sum(axis=1, keepdims=True)
    return value, weight[:, None] * (np.exp(logs) * total - targets)


def average(mean: Layers, layers: Layers, momentum: float) -> Layers:
    """An exponential average of layers, one step on."""
    return {name: momentum * mean[name] + (1 - momentum) * of for name, of in layers.items()}


def layers_state(layers: Layers, name: str = "layer") -> State:
    """Layers for a fitted folder."""
    return {f"{name}.{key}": of for key, of in layers.items()}


def layers_of(state: State, name: str = "layer") -> Layers:
    """The layers that `layers_state` has put into a state."""
    return {key.removeprefix(f"{name}."): of for key, of in state.items() if key.startswith(f"{name}.")}
