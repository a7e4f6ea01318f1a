"""Texts as vectors of their words, and as counts of them.

Source: TF-IDF with logarithmic counts (G. Salton and C. Buckley, Term-weighting Approaches in Automatic Text Retrieval,
1988) over hashed words, brought to few dimensions by a truncated SVD (S. Deerwester et al., Indexing by Latent Semantic
Analysis, 1990), each row to length 1; all by scikit-learn.
Cost: O(words) a text and an SVD of the labelled texts; the state is n_dimensions x n_hashes float32, 16 MiB by default.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa

from raypipe.contracts.estimator import State
from raypipe.fitting.classes import classes_of, classes_state

NO_TEXT = "no text"


def texts_of(table: pa.Table, column: str) -> tuple[list[str], list[str | None]]:
    """The texts of a column, "" where there is none, and for each row the reason why it can't be used.

    Raises
    ------
    ValueError
        If it isn't of strings.
    """
    kind = table.schema.field(column).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
        raise ValueError(f"column {column!r} must be of texts, got {kind}.")
    texts = table[column].to_pylist()
    return [text or "" for text in texts], [None if text else NO_TEXT for text in texts]


@dataclass
class WordVectors:
    """Texts -> [n, d] float64, rows of length 1; zeros where no word is known."""

    columns: tuple[str, ...]
    n_dimensions: int = 256
    """At most; fewer where there are fewer texts."""
    n_hashes: int = 1 << 14
    """Words that are told apart, at most."""

    name: ClassVar[str] = "words"
    idf_: np.ndarray = field(default_factory=lambda: np.empty(0), init=False, repr=False)
    axes_: np.ndarray = field(default_factory=lambda: np.empty((0, 0)), init=False, repr=False)

    @property
    def feature_names(self) -> list[str]:
        """Numbers of the axes."""
        return [f"axis {at}" for at in range(len(self.axes_))]

    def fit(self, table: pa.Table) -> Self:
        """Learn how rare words are, and the axes.

        Raises
        ------
        ValueError
            If no text has a word.
        """
        from sklearn.feature_extraction.text import TfidfTransformer
        from sklearn.utils.extmath import randomized_svd

        counts = self._counts(texts_of(table, self.columns[0])[0])
        if not counts.nnz:
            raise ValueError(f"column {self.columns[0]!r} must have texts with words, got {len(table)} without any.")
        weighted = TfidfTransformer(sublinear_tf=True).fit(counts)
        self.idf_ = np.asarray(weighted.idf_)
        n_axes = max(1, min(self.n_dimensions, min(counts.shape) - 1))
        _, _, axes = randomized_svd(weighted.transform(counts), n_axes, random_state=0)
        self.axes_ = np.asarray(axes, np.float32)
        return self

    def _counts(self, texts: list[str]) -> Any:
        from sklearn.feature_extraction.text import HashingVectorizer

        hashed = HashingVectorizer(n_features=self.n_hashes, alternate_sign=False, norm=None)
        return hashed.transform(texts or [""])[: len(texts)]  # of no texts it makes none

    def encode(self, table: pa.Table) -> tuple[np.ndarray, list[str | None]]:
        """Vectors, and reasons of rows without a text."""
        from sklearn.preprocessing import normalize

        texts, reasons = texts_of(table, self.columns[0])
        counts = self._counts(texts)
        counts.data = np.log(counts.data) + 1
        weighted = counts.multiply(self.idf_).tocsr()  # the length of a row doesn't change its direction
        X = np.asarray(weighted @ self.axes_.T.astype(np.float64))
        return normalize(X) if len(X) else X, reasons

    def about(self) -> dict[str, Any]:
        """Settings."""
        sizes = {"n_dimensions": self.n_dimensions, "n_hashes": self.n_hashes}
        return {"name": self.name, "columns": list(self.columns), **sizes}

    def state(self) -> State:
        """Rarities and axes."""
        return {"idf": self.idf_, "axes": self.axes_}

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(self.columns, self.n_dimensions, self.n_hashes)
        made.idf_, made.axes_ = state["idf"], state["axes"]
        return made


@dataclass
class WordCounts:
    """Texts -> how often each word of the labelled texts stands in them, scipy's CSR [n, d] float64."""

    columns: tuple[str, ...]
    max_words: int = 50_000
    """The commonest of the labelled texts."""

    name: ClassVar[str] = "counts"
    words_: np.ndarray = field(default_factory=lambda: np.empty(0, str), init=False, repr=False)

    @property
    def feature_names(self) -> list[str]:
        """The words."""
        return [str(word) for word in self.words_]

    def fit(self, table: pa.Table) -> Self:
        """Learn the words.

        Raises
        ------
        ValueError
            If no text has one.
        """
        from sklearn.feature_extraction.text import CountVectorizer

        texts, _ = texts_of(table, self.columns[0])
        try:
            found = CountVectorizer(max_features=self.max_words).fit(texts)
        except ValueError:
            raise ValueError(
                f"column {self.columns[0]!r} must have texts with words, got {len(table)} without any."
            ) from None
        self.words_ = found.get_feature_names_out().astype(str)
        return self

    def encode(self, table: pa.Table) -> tuple[np.ndarray, list[str | None]]:
        """Counts, and reasons of rows without a text; a word that wasn't among the labelled texts is passed over."""
        from sklearn.feature_extraction.text import CountVectorizer

        texts, reasons = texts_of(table, self.columns[0])
        return CountVectorizer(vocabulary=self.feature_names, dtype=np.float64).transform(texts), reasons

    def about(self) -> dict[str, Any]:
        """Settings."""
        return {"name": self.name, "columns": list(self.columns), "max_words": self.max_words}

    def state(self) -> State:
        """The words, as UTF-8."""
        return classes_state(self.words_)

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(self.columns, self.max_words)
        made.words_ = classes_of(state)
        return made
