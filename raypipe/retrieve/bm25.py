"""BM25: documents ranked by the words that they share with a query, rare words counting more.

Source: S. Robertson and H. Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009; the form is Lucene's
(C. Kamphuis et al., ECIR 2020, table 1), computed by bm25s (X. Lu, arXiv 2407.03618); k1 and b are Anserini's, by which
BEIR's tables are made.
Departures: words are runs of letters and digits in lower case, without stop words and stemming, so that no language is
assumed; a document without a word of the query isn't found, where bm25s fills up with documents of score 0.
Cost: the index holds 8 bytes a word and document; a query costs O(n) and the postings of its words.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from raypipe.retrieve.ranking import Ranked, first_k, stacked

WORD = r"(?u)\w+"
CHUNK = 256
"""Queries whose scores of all documents are held together."""


class BM25:
    """An index of texts."""

    def __init__(self, documents: Sequence[str], *, k1: float = 0.9, b: float = 0.4) -> None:
        """Count the words of some documents.

        Raises
        ------
        ValueError
            If there is no document, k1 is below 0, or b isn't in [0, 1].
        """
        import bm25s

        if not documents or k1 < 0 or not 0 <= b <= 1:
            raise ValueError(
                f"BM25 needs a document, k1 of at least 0 and b in [0, 1], got {len(documents)}, {k1} and {b}."
            )
        self._n = len(documents)
        self._index = bm25s.BM25(k1=k1, b=b, method="lucene")
        words = _words(documents, return_ids=True)
        self._has_words = any(map(len, words.ids))
        if self._has_words:  # else their mean length is 0, by which it would divide
            self._index.index(words, show_progress=False)

    def rank(self, queries: Sequence[str], *, k: int) -> Ranked:
        """The first k documents of each query, of those that have a word of it."""
        asked: list[list[str]] = _words(queries, return_ids=False)
        parts = [self._scores(asked[at : at + CHUNK]) for at in range(0, len(asked), CHUNK)]
        ranked = [first_k(part, k=k) for part in parts] or [first_k(np.zeros((0, self._n)), k=k)]
        return stacked(ranked)

    def _scores(self, queries: Sequence[Sequence[str]]) -> np.ndarray:
        """[q, n] float32; -inf where no word is shared."""
        found = np.full((len(queries), self._n), -np.inf, np.float32)
        for query, words in enumerate(queries if self._has_words else ()):
            if ids := self._index.get_tokens_ids(list(words)):
                scores = self._index.get_scores_from_ids(ids)
                found[query] = np.where(scores > 0, scores, -np.inf)  # this form's weights are all above 0
        return found


def _words(texts: Sequence[str], *, return_ids: bool) -> Any:
    import bm25s

    return bm25s.tokenize(
        list(texts), token_pattern=WORD, stopwords=None, return_ids=return_ids, show_progress=False, allow_empty=True
    )
