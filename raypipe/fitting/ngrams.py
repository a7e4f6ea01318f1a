"""Texts as hashed words and runs of words: nothing is learned, so that a corpus of any size has the same columns.

Source: A. Joulin et al., Bag of Tricks for Efficient Text Classification, arXiv 1607.01759, section 2.3 (hashed
bigrams beside words); J. Li et al., DataComp-LM, arXiv 2406.11794, section 4.4, which filters the web by such a
classifier. Words are scikit-learn's, in lower case.
Departures: a text is the counts of its n-grams brought to length 1, not the mean of learned vectors; a linear head on
either is linear in the counts.
Cost: O(words) a text; X is sparse, some 12 bytes a distinct n-gram of a text.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa

from raypipe.contracts.estimator import State
from raypipe.fitting.words import texts_of


@dataclass
class HashedNGrams:
    """Texts -> scipy's CSR [n, n_hashes] float64, rows of length 1; zeros where there is no word.

    >>> import pyarrow as pa
    >>> X, reasons = HashedNGrams(("text",)).encode(pa.table({"text": ["a big dog", None]}))
    >>> X.shape, X[0].nnz, reasons
    ((2, 262144), 3, [None, 'no text'])
    """

    columns: tuple[str, ...]
    n_hashes: int = 1 << 18
    """N-grams that are told apart, at most."""
    longest: int = 2
    """Words of an n-gram, at most."""

    name: ClassVar[str] = "ngrams"

    @property
    def feature_names(self) -> list[str]:
        """Numbers of the hashes: an n-gram isn't told by its hash."""
        return [f"hash {at}" for at in range(self.n_hashes)]

    def fit(self, table: pa.Table) -> Self:
        """See that there are words.

        Raises
        ------
        ValueError
            If no text has one.
        """
        if not self.encode(table)[0].nnz:
            raise ValueError(f"column {self.columns[0]!r} must have texts with words, got {len(table)} without any.")
        return self

    def encode(self, table: pa.Table) -> tuple[Any, list[str | None]]:
        """The n-grams, and reasons of rows without a text."""
        from sklearn.feature_extraction.text import HashingVectorizer

        texts, reasons = texts_of(table, self.columns[0])
        hashed = HashingVectorizer(n_features=self.n_hashes, ngram_range=(1, self.longest), alternate_sign=False)
        return hashed.transform(texts or [""])[: len(texts)], reasons  # of no texts it makes none

    def about(self) -> dict[str, Any]:
        """Settings."""
        sizes = {"n_hashes": self.n_hashes, "longest": self.longest}
        return {"name": self.name, "columns": list(self.columns), **sizes}

    def state(self) -> State:
        """Nothing is learned; safetensors stores no empty state."""
        return {"n_hashes": np.array([self.n_hashes], np.int64)}

    def from_state(self, state: State) -> Self:
        """One of the same settings."""
        return type(self)(self.columns, self.n_hashes, self.longest)
