"""Word counts with a linear model: what any model of texts must beat.

Source: scikit-learn's TfidfVectorizer under LogisticRegression (C = 1) or Ridge (alpha = 1), with its defaults.
Cost: a sparse [n, words] matrix; some hundred products with it.
"""

from collections.abc import Sequence

import numpy as np

MAX_ITERATIONS = 1000


def tf_idf_classes(texts: Sequence[str], y: np.ndarray, asked: Sequence[str]) -> np.ndarray:
    """Classes of the texts asked about, from word counts of texts with classes y [m] int.

    Where no text holds a word, or all have one class, it is the commonest class, among equally common ones the lowest.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(y)) < 2 or not _has_words(texts):
        return np.full(len(asked), np.bincount(y).argmax())
    words = TfidfVectorizer().fit(texts)
    model = LogisticRegression(max_iter=MAX_ITERATIONS).fit(words.transform(texts), y)
    return np.asarray(model.predict(words.transform(asked)))


def tf_idf_numbers(texts: Sequence[str], y: np.ndarray, asked: Sequence[str]) -> np.ndarray:
    """Numbers for the texts asked about, from word counts of texts with numbers y [m]; without words, the mean."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import Ridge

    if not _has_words(texts):
        return np.full(len(asked), y.mean())
    words = TfidfVectorizer().fit(texts)
    return np.asarray(Ridge().fit(words.transform(texts), y).predict(words.transform(asked)))


def tf_idf_scores(texts: Sequence[str], y: np.ndarray, *, n_folds: int = 5) -> np.ndarray:
    """How much each text looks like those with y [n] bool, to a model of the other folds' word counts: [n] float64.

    Without words all are alike: 0.

    Raises
    ------
    ValueError
        If a class has fewer texts than there are folds.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline

    rarer = int(min(y.sum(), len(y) - y.sum()))
    if rarer < n_folds:
        raise ValueError(f"each class must have a text for each of {n_folds} folds, got {rarer}.")
    if not _has_words(texts):
        return np.zeros(len(texts))
    model = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=MAX_ITERATIONS))
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=0)
    return np.asarray(cross_val_predict(model, list(texts), y.astype(int), cv=folds, method="decision_function"))


def _has_words(texts: Sequence[str]) -> bool:
    """Whether there is a word as TfidfVectorizer knows them: two letters or more."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer().build_analyzer()
    return any(words(text) for text in texts)
