"""What a finetuned head must beat: the majority or the mean, and word counts with a linear model.

Source: scikit-learn's TfidfVectorizer under LogisticRegression (C = 1) or Ridge (alpha = 1), with its defaults.
Cost: a sparse [n, words] matrix; some hundred products with it.
"""

from collections.abc import Sequence

import numpy as np

MAX_ITERATIONS = 1000


def majority(y: np.ndarray, n: int) -> np.ndarray:
    """The commonest class of y [m] int, n times; among equally common ones the lowest."""
    return np.full(n, np.bincount(y).argmax())


def mean(y: np.ndarray, n: int) -> np.ndarray:
    """The mean of y [m], n times."""
    return np.full(n, y.mean())


def tf_idf_classes(texts: Sequence[str], y: np.ndarray, asked: Sequence[str]) -> np.ndarray:
    """Classes of the texts asked about, from word counts of texts with classes y [m] int.

    Where no text holds a word, or all have one class, it is the majority.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(y)) < 2 or not _has_words(texts):
        return majority(y, len(asked))
    words = TfidfVectorizer().fit(texts)
    model = LogisticRegression(max_iter=MAX_ITERATIONS).fit(words.transform(texts), y)
    return np.asarray(model.predict(words.transform(asked)))


def tf_idf_numbers(texts: Sequence[str], y: np.ndarray, asked: Sequence[str]) -> np.ndarray:
    """Numbers for the texts asked about, from word counts of texts with numbers y [m]; without words, the mean."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import Ridge

    if not _has_words(texts):
        return mean(y, len(asked))
    words = TfidfVectorizer().fit(texts)
    return np.asarray(Ridge().fit(words.transform(texts), y).predict(words.transform(asked)))


def _has_words(texts: Sequence[str]) -> bool:
    """Whether there is a word as TfidfVectorizer knows them: two letters or more."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer().build_analyzer()
    return any(words(text) for text in texts)
