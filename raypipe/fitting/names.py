"""Names of classes as vectors, made by the input that makes vectors of the rows' texts."""

import re
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from raypipe.contracts.estimator import Estimator
from raypipe.fitting.inputs import Input

SEPARATORS = re.compile(r"[\W_]+")
"""Between the words of a label such as `credit_card::limit-change`."""


def fit_with_names(estimator: Estimator, feed: Input, X: np.ndarray, y: np.ndarray) -> Estimator:
    """The estimator, fitted on rows [n, d] and labels [n]; one that takes names gets those of the labels.

    Only where rows are texts: names are no numbers or cells of a table.
    """
    if not getattr(estimator, "takes_names", False) or feed.name != "words":
        return estimator.fit(X, y)
    return estimator.fit(X, y, names=name_vectors(feed, np.unique(y).tolist()))  # type: ignore[call-arg]


def name_vectors(feed: Input, labels: Iterable[object]) -> dict[object, np.ndarray]:
    """The vector [d] of each label, read as a text of its words; zeros where the input knows none of them."""
    names = list(labels)
    texts = [SEPARATORS.sub(" ", str(name)).strip() or "none" for name in names]
    vectors, _ = feed.encode(pa.table({feed.columns[0]: pa.array(texts, pa.string())}))
    return dict(zip(names, vectors, strict=True))
