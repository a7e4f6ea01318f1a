"""Label vectors: a class is where the documents lie that are nearest to its keywords; exact over any cut of a corpus.

Source: T. Schopf, D. Braun, F. Matthes, Evaluating Unsupervised Text Classification, NLPIR 2022 (arXiv 2211.16285),
section 3, Lbl2TransformerVec: keywords -> candidate documents -> outliers out -> their mean.
Departures: the package's defaults keep a single document for a class; ours fifty (`min_documents`). Outliers are those
of the Local Outlier Factor, as in its older class for word vectors; its class for transformers averages a vector's
entries there. A threshold looks at all documents, not at the first ones. A tie is decided by the documents' ids.
Cost: one pass, O(n k d); memory of k times `n_documents` vectors.
"""

from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import ID, REASON
from raypipe.fitting.vectors import matrix

TEMPERATURE = 1 / 20
"""Of the softmax that makes a confidence of cosines."""
NEIGHBOURS = 20


@dataclass
class NearestDocuments:
    """The `n_documents` nearest to each direction, highest cosine first."""

    column: str
    """`stage.column` of vectors."""
    directions: np.ndarray = field(repr=False)
    """[k, d]: of each class the mean of its keywords' vectors."""
    n_documents: int = 50

    version: ClassVar[int] = 1
    n_seen: int = field(default=0, init=False)
    cosine: np.ndarray = field(init=False, repr=False)
    """[k, m]"""
    X: np.ndarray = field(init=False, repr=False)
    """[k, m, d] float32 of length 1."""
    row_ids: np.ndarray = field(init=False, repr=False)
    """[k, m] str."""

    def __post_init__(self) -> None:
        """Begin empty.

        Raises
        ------
        ValueError
            If no document is asked for, or a direction is 0.
        """
        k, d = self.directions.shape
        if self.n_documents < 1:
            raise ValueError(f"n_documents must be at least 1, got {self.n_documents}.")
        if not (np.isfinite(self.directions).all() and np.linalg.norm(self.directions, axis=1).all()):
            raise ValueError("directions must be finite and none of them 0; see the keywords' vectors.")
        self.cosine, self.X = np.empty((k, 0)), np.empty((k, 0, d), np.float32)
        self.row_ids = np.empty((k, 0), object)

    @property
    def reads(self) -> tuple[str, ...]:
        """The vectors."""
        return (self.column,)

    def update(self, table: pa.Table) -> None:
        """Take in rows; those with a reason, or without a whole vector other than 0, are left out.

        Raises
        ------
        ValueError
            If vectors have another number of dimensions than the directions.
        """
        rows = table.filter(pc.is_null(table[REASON]))
        X, reasons = matrix([rows[self.column]])
        whole = np.array([reason is None for reason in reasons], bool) & (np.abs(X) > 0).any(axis=1)
        if not whole.any():
            return
        if X.shape[1] != self.directions.shape[1]:
            raise ValueError(f"vectors must have {self.directions.shape[1]} dimensions as keywords do: {X.shape[1]}.")
        X, ids = at_length_one(X[whole]), np.array(rows[ID].to_pylist(), object)[whole]
        cosine = np.stack([(X * one).sum(axis=1) for one in at_length_one(self.directions)])  # the same for any batch
        self.n_seen += len(X)
        self._take(
            cosine, np.broadcast_to(X.astype(np.float32), (len(cosine), *X.shape)), np.tile(ids, (len(cosine), 1))
        )

    def merge(self, other: Self) -> None:
        """Take in what another has."""
        self.n_seen += other.n_seen
        self._take(other.cosine, other.X, other.row_ids)

    def _take(self, cosine: np.ndarray, X: np.ndarray, ids: np.ndarray) -> None:
        found = []
        for label in range(len(cosine)):
            both = np.concatenate([self.cosine[label], cosine[label]])
            names = np.concatenate([self.row_ids[label], ids[label]])
            best = np.lexsort((names.astype(str), -both))[: self.n_documents]
            found.append((both[best], np.concatenate([self.X[label], X[label]])[best], names[best]))
        self.cosine, self.X, self.row_ids = (np.stack(part) for part in zip(*found, strict=True))

    def state(self) -> dict[str, np.ndarray]:
        """The documents, their cosines, and ids as UTF-8 end to end."""
        encoded = [str(name).encode() for name in self.row_ids.ravel()]
        return {
            "X": self.X, "cosine": self.cosine, "seen": np.array([self.n_seen]),
            "ids": np.frombuffer(b"".join(encoded), np.uint8),
            "id_bytes": np.array([len(one) for one in encoded], np.int64),
        }  # fmt: skip

    def from_state(self, state: dict[str, np.ndarray]) -> Self:
        """One of the same settings that has this state."""
        made = type(self)(self.column, self.directions, self.n_documents)
        raw, cuts = state["ids"].tobytes(), np.concatenate([[0], np.cumsum(state["id_bytes"])]).astype(int)
        names = np.array([raw[a:b].decode() for a, b in pairwise(cuts)], object)
        made.X, made.cosine, made.n_seen = state["X"], state["cosine"], int(state["seen"][0])
        made.row_ids = names.reshape(made.cosine.shape)
        return made

    def result(self) -> dict[str, Any]:
        """How many documents, of each class the highest and the lowest cosine, and a hash of the kept."""
        digest = blake2b(
            np.ascontiguousarray(self.X).tobytes() + "\0".join(self.row_ids.ravel()).encode(), digest_size=16
        )
        ends = [[float(of[0]), float(of[-1])] for of in self.cosine] if self.cosine.size else []
        return {"seen": self.n_seen, "kept": self.cosine.shape[1], "cosines": ends, "digest": digest.hexdigest()}


def label_vectors(
    nearest: NearestDocuments, *, min_documents: int = 50, threshold: float | None = None, offset: float | None = None,
    cleans: bool = False,
) -> np.ndarray:  # fmt: skip
    """Label vectors [k, d]: the mean of each class's documents above a cosine, and of `min_documents` at least.

    `threshold`: that cosine; `offset`: as far below the class's highest; neither: none. `cleans`: without outliers.

    Raises
    ------
    ValueError
        If there is no document, or both bounds are given.
    """
    if not nearest.cosine.size:
        raise ValueError("label vectors need a document with a vector at least, and there is none.")
    if threshold is not None and offset is not None:
        raise ValueError(f"give threshold or offset, not both: {threshold}, {offset}.")
    found = []
    for cosine, X in zip(nearest.cosine, nearest.X, strict=True):
        bound = (
            np.inf if threshold is None and offset is None else cosine[0] - offset if offset is not None else threshold
        )
        kept = X[: max(min_documents, int((cosine > bound).sum()))].astype(np.float64)
        found.append((without_outliers(kept) if cleans else kept).mean(axis=0))
    return np.stack(found)


def without_outliers(X: np.ndarray) -> np.ndarray:
    """Rows [n, d] that the Local Outlier Factor calls none: a tenth is far lonelier than its neighbours, or fewer."""
    from sklearn.neighbors import LocalOutlierFactor

    if len(X) < 3:
        return X
    inside = LocalOutlierFactor(n_neighbors=min(NEIGHBOURS, len(X) - 1)).fit_predict(X) == 1
    return X[inside] if inside.any() else X


def probabilities(X: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Softmax of cosines over the temperature: vectors [n, d] and label vectors [k, d] -> [n, k]."""
    logits = at_length_one(X) @ at_length_one(labels).T / TEMPERATURE
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return found


def at_length_one(X: np.ndarray) -> np.ndarray:
    """Vectors [n, d] at length 1; 0 stays 0."""
    normed: np.ndarray = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
    return normed
