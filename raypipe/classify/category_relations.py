"""What classes take from one another, as a matrix over their vectors, and which ancestors a row says nothing of.

Source: Z. Sun et al., CQ-DINO, NeurIPS 2025, arXiv 2503.18430: bottom-up aggregation along a tree with the weights of
the authors' code, implicit relations, the hierarchical mask.
Departures: attention is that of the names' vectors, without weights of its own, so that it is a fixed matrix; half of a
class is kept, which stands for the residual.
Cost: [C, C] float64 for C classes.
"""

from collections.abc import Mapping

import numpy as np
from scipy.special import softmax

SHARPNESS = 16.0
"""Of cosines in attention: names that have little in common take next to nothing from each other."""


def ancestors(parents: Mapping[str, str], labels: np.ndarray) -> np.ndarray:
    """Which labels [C] stand above each in a forest given as child -> parent: [C, C] bool, a row a child.

    Raises
    ------
    ValueError
        If a label is its own ancestor, or one of the hierarchy isn't among the labels.
    """
    place = {str(name): at for at, name in enumerate(labels)}
    if unknown := sorted({*parents, *parents.values()} - set(place)):
        raise ValueError(f"the hierarchy must be of labels, {unknown[0]!r} is none.")
    found = np.zeros((len(labels), len(labels)), bool)
    for start in parents:
        at = start
        while at in parents:
            at = parents[at]
            if at == start or found[place[start], place[at]]:
                raise ValueError(f"a hierarchy must have no cycle, {start!r} leads back to {at!r}.")
            found[place[start], place[at]] = True
    return found


def along_tree(parents: Mapping[str, str], labels: np.ndarray) -> np.ndarray:
    """The matrix [C, C] that draws each inner label to the mean of its children, which were drawn before it.

    A label with n descendants goes 0.4 + 0.4 log(2 + n) / log(2 + C) of the way; leaves stay.
    """
    above, place = ancestors(parents, labels), {str(name): at for at, name in enumerate(labels)}
    depth, below = above.sum(axis=1), above.sum(axis=0)
    children: dict[int, list[int]] = {}
    for child, parent in parents.items():
        children.setdefault(place[parent], []).append(place[child])
    found = np.eye(len(labels))
    for at in sorted(children, key=lambda inner: -depth[inner]):
        share = 0.4 + 0.4 * np.log(2 + below[at]) / np.log(2 + len(labels))
        found[at] = (1 - share) * found[at] + share * found[children[at]].mean(axis=0)
    return found


def by_attention(names: np.ndarray) -> np.ndarray:
    """The matrix [C, C] that draws each label half the way to those whose names' unit vectors [C, d] attend to it."""
    found: np.ndarray = 0.5 * np.eye(len(names)) + 0.5 * softmax(SHARPNESS * names @ names.T, axis=1)
    return found


def counted(targets: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Where a row's loss counts: not for ancestors, in `above` [C, C], of its labels that it doesn't name; [n, C]."""
    found: np.ndarray = targets | ~((targets.astype(np.float32) @ above.astype(np.float32)) > 0)
    return found
