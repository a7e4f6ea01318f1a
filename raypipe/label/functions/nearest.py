"""The nearest class: a vote for the class whose label vector, made of a few keywords, a text's vector is nearest to.

Source: T. Schopf et al., NLPIR 2022, arXiv 2211.16285 (see `label/label_vectors.py`).
Departures: it abstains where the softmax of the cosines is below `at_least`.
Cost: O(n k d); before it a pass over the vectors for the documents nearest to the keywords.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pyarrow as pa

from raypipe.fitting.vectors import matrix
from raypipe.label.functions.function import check_words
from raypipe.label.label_vectors import probabilities


@dataclass(frozen=True)
class Nearest:
    """Votes for the class of the nearest label vector."""

    name: str
    keywords: Mapping[str, tuple[str, ...]]
    """Class: words or phrases that say what it is about."""
    documents: int = 50
    """Of those nearest to a class's keywords, whose mean is the class; 0: the keywords' own mean."""
    cleans: bool = False
    """Whether outliers among these are left out."""
    at_least: float = 0.0
    """It abstains where the class has a lower probability."""
    column: str = "embeddings.embedding"
    """STAGE.COLUMN of the texts' vectors."""
    model: str = "mini"
    """What made them; the keywords go through it too, after its prompt for queries."""

    labels: np.ndarray | None = field(default=None, init=False, repr=False, compare=False)
    """[k, d]: see `placed`."""

    vote = None

    @property
    def reads(self) -> tuple[str, ...]:
        """The vectors."""
        return (self.column,)

    def check(self) -> None:
        """Refuse fewer than two classes, a class without keywords, and impossible numbers.

        Raises
        ------
        ValueError
            With the setting, the rule and the value.
        """
        called = f"labelling function {self.name!r}"
        if len(self.keywords) < 2:
            raise ValueError(f"{called}: keywords must be of two classes at least, got {sorted(self.keywords)}.")
        for label, words in self.keywords.items():
            check_words(self.name, f"keywords of {label!r}", words)
        if self.documents < 0:
            raise ValueError(f"{called}: documents must be 0 or more, got {self.documents}.")
        if not 0 <= self.at_least < 1:
            raise ValueError(f"{called}: at_least must be a probability from 0 to below 1, got {self.at_least}.")

    def placed(self, labels: np.ndarray) -> Self:
        """Itself with the label vectors [k, d], in the order of its classes."""
        made = type(self)(self.name, self.keywords, self.documents, self.cleans, self.at_least, self.column, self.model)
        object.__setattr__(made, "labels", np.asarray(labels, np.float64))
        return made

    def says(self, table: pa.Table) -> pa.Array:
        """The nearest class; none for a row without a finite vector.

        Raises
        ------
        ValueError
            If vectors have another number of dimensions than the label vectors.
        """
        if self.labels is None:
            raise RuntimeError(f"{self.name!r} must be given its label vectors (`placed`) before it votes.")
        return nearest_classes(table[self.column], self.labels, tuple(self.keywords), at_least=self.at_least)


def nearest_classes(
    column: pa.ChunkedArray, labels: np.ndarray, classes: tuple[str, ...], *, at_least: float
) -> pa.Array:
    """The class [n] of the label vector [k, d] that each vector is nearest to, null where it is less probable.

    Raises
    ------
    ValueError
        If vectors have another number of dimensions than the label vectors.
    """
    X, reasons = matrix([column])
    rows = np.flatnonzero([reason is None for reason in reasons])
    found = np.full(len(column), None, object)
    if len(rows):
        if X.shape[1] != labels.shape[1]:
            raise ValueError(f"vectors must have {labels.shape[1]} dimensions as the classes' do: {X.shape[1]}.")
        probability = probabilities(X[rows], labels)
        names = np.array(classes, object)[probability.argmax(axis=1)]
        sure = probability.max(axis=1) >= at_least
        found[rows[sure]] = names[sure]
    return pa.array(found.tolist(), pa.string())
