"""Epochs in which like examples stand together, so that a batch brings hard negatives of its own.

Source: K. Dahiya et al., NGAME, WSDM 2023, arXiv 2207.04452, module 1, steps 1 to 4: balanced clusters by the encoder's
own vectors, shuffled and laid one after another; they double as training goes on.
Departures: vectors are those of the model that training starts from and aren't made again, so that an epoch's order is
a function of its number and training is exact on resume; clusters differ in size by a factor of 2 at most, so that the
ends of a batch may cut one.
Cost: O(n d log n) once, 4 bytes an example and doubling; an epoch's order is a sort.
"""

from dataclasses import dataclass

import numpy as np

from raypipe.arrays.balanced_clusters import balanced_clusters
from raypipe.train.data.order import hashed


@dataclass(frozen=True, kw_only=True)
class ClusteredBatches:
    """Which rows come into a batch together (--learn embedding)."""

    cluster_rows: int = 1
    """Like queries that stand together, at most, so that their positives are each other's hard negatives; 1: any."""
    cluster_epochs: int = 1
    """Epochs until clusters double, from 1 to `cluster_rows`: hard negatives too early keep a model from learning."""

    def check(self, *, batch: int) -> None:
        """Refuse what no batch can hold.

        Raises
        ------
        ValueError
            With the setting, the rule and the value.
        """
        if not 1 <= self.cluster_rows <= batch:
            raise ValueError(
                f"cluster_rows must be from 1 to the rows of a batch, {batch}, got {self.cluster_rows}; "
                "raise --batch-examples or lower it."
            )
        if self.cluster_epochs < 1:
            raise ValueError(f"cluster_epochs must be at least 1, got {self.cluster_epochs}.")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Of clusters, beyond single rows: 2, 4, 8 ... and the largest."""
        return tuple(min(2**power, self.cluster_rows) for power in range(1, (self.cluster_rows - 1).bit_length() + 1))


def clusters_of(X: np.ndarray, sizes: tuple[int, ...], *, seed: int) -> np.ndarray:
    """The cluster of each row for each size: [n, d] vectors of any length -> [sizes, n] int32.

    Raises
    ------
    ValueError
        If a vector isn't finite.
    """
    unit = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
    found = np.zeros((len(sizes), len(X)), np.int32)
    for level, size in enumerate(sizes):
        for number, rows in enumerate(balanced_clusters(unit, size, seed=seed)):
            found[level, rows] = number
    return found


@dataclass(frozen=True)
class ClusteredOrder:
    """The order of an epoch: clusters in an order of their own, and so are the rows of each."""

    clusters: np.ndarray
    """[sizes, n] int32, of `clusters_of`."""
    epochs: int
    """Until clusters double."""
    seed: int

    def __call__(self, epoch: int) -> np.ndarray:
        """Numbers of the rows [n] int64."""
        level, n = min(epoch // self.epochs, len(self.clusters)), self.clusters.shape[1]
        rows = hashed(np.arange(n), self.seed, epoch, "examples")
        if level == 0:  # as without clusters
            return np.argsort(rows, kind="stable")
        of = self.clusters[level - 1].astype(np.int64)
        return np.lexsort((rows, of, hashed(of, self.seed, epoch, "clusters")))
