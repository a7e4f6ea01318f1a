"""Similarity to phrases: a vote for one class where a text's vector lies close enough to that of one of them.

Source: labels by the nearest class description in an embedding space, W. Yin et al., Benchmarking Zero-shot Text
Classification, EMNLP 2019, section 5; as a weak source of many, N. Roberts et al., AutoWS-Bench-101, NeurIPS 2022.
Departures: it abstains below a cosine, and where phrases that speak against the class are as close (`margin`).
Cost: O(n p d) for p phrases; the vectors of the texts are a finished stage's.
"""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pyarrow as pa

from raypipe.fitting.vectors import matrix
from raypipe.label.functions.function import check_words, where


@dataclass(frozen=True)
class Similarity:
    """Votes where the nearest of its phrases is near, and nearer than the nearest of those against."""

    name: str
    vote: str
    """The class."""
    phrases: tuple[str, ...]
    """What texts of the class are like."""
    at_least: float
    """Lowest cosine to the nearest phrase, -1 to 1."""
    against: tuple[str, ...] = ()
    """What texts of other classes are like."""
    margin: float | None = None
    """By how much the nearest phrase must be nearer than the nearest of `against`, as cosines; None: at all."""
    column: str = "embeddings.embedding"
    """STAGE.COLUMN of the texts' vectors."""
    model: str = "mini"
    """What made them; the phrases go through it too, after its prompt for queries."""

    vectors: np.ndarray | None = field(default=None, init=False, repr=False, compare=False)
    """[p, d] of length 1, of `phrases` and then `against`: see `placed`."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The vectors."""
        return (self.column,)

    def check(self) -> None:
        """Refuse no phrases, blank ones, a cosine that none reaches, and a margin against nothing.

        Raises
        ------
        ValueError
            With the setting, the rule and the value.
        """
        check_words(self.name, "phrases", self.phrases)
        if self.against:
            check_words(self.name, "against", self.against)
        if not -1 <= self.at_least < 1:
            raise ValueError(
                f"labelling function {self.name!r}: at_least must be a cosine from -1 to below 1, got {self.at_least}."
            )
        if self.margin is not None and not (self.against and 0 <= self.margin < 2):
            raise ValueError(
                f"labelling function {self.name!r}: margin must be from 0 to below 2 and needs phrases `against`, got "
                f"{self.margin} and {len(self.against)} of them."
            )

    def placed(self, vectors: np.ndarray) -> Self:
        """Itself with the vectors [p, d] of its phrases and of those against, in this order."""
        made = type(self)(
            self.name, self.vote, self.phrases, self.at_least, self.against, self.margin, self.column, self.model
        )
        object.__setattr__(made, "vectors", at_length_one(vectors).astype(np.float32))
        return made

    def says(self, table: pa.Table) -> pa.Array:
        """The class where it is similar enough; a row without a finite vector gets none.

        Raises
        ------
        ValueError
            If vectors have another number of dimensions than those of the phrases.
        """
        if self.vectors is None:
            raise RuntimeError(f"{self.name!r} must be given the vectors of its phrases (`placed`) before it votes.")
        X, reasons = matrix([table[self.column]])
        rows = np.flatnonzero([reason is None for reason in reasons])
        found = np.zeros(len(table), bool)
        if len(rows):
            if X.shape[1] != self.vectors.shape[1]:
                raise ValueError(f"vectors must have {self.vectors.shape[1]} dimensions as phrases do: {X.shape[1]}.")
            found[rows] = self._is_similar(at_length_one(X[rows]) @ self.vectors.T)
        return where(pa.array(found), self.vote)

    def _is_similar(self, cosines: np.ndarray) -> np.ndarray:
        nearest = cosines[:, : len(self.phrases)].max(axis=1)
        found: np.ndarray = nearest >= self.at_least
        if self.against:
            against = cosines[:, len(self.phrases) :].max(axis=1)
            found &= nearest > against if self.margin is None else nearest >= against + self.margin
        return found


def at_length_one(X: np.ndarray) -> np.ndarray:
    """Vectors [n, d] at length 1; 0 stays 0."""
    normed: np.ndarray = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
    return normed
