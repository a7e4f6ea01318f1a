"""The control that counts words: TF-IDF and logistic regression, a model a task.

Source: the usual textbook pair, with the defaults of scikit-learn 1.9, against which it is tested: words of two or more
characters in lower case, smoothed idf, rows of length 1, an L2 penalty of C = 1 without one on the intercept.
Cost: some 100 products of a sparse [n, words] and a dense [words, classes] matrix a task.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import logsumexp

from raypipe.train.choices.question import Question

WORD = re.compile(r"(?u)\b\w\w+\b")
MAX_ITERATIONS = 1000


def tf_idf_answers(train: Sequence[Question], learnt: Sequence[str], asked: Sequence[Question]) -> list[str | None]:
    """What word counts make of each question, from the same training answers as the model's; None without a task."""
    given: list[str | None] = [None] * len(asked)
    for task in {question.task for question in train}:
        rows = [at for at, question in enumerate(train) if question.task == task]
        to_ask = [at for at, question in enumerate(asked) if question.task == task]
        words = TfIdf([_text(train[at]) for at in rows])
        classes, y = np.unique([learnt[at] for at in rows], return_inverse=True)
        scores = words(map_texts(asked, to_ask)) @ fit_logistic(words(map_texts(train, rows)), y, len(classes))
        for at, best in zip(to_ask, scores.argmax(axis=1), strict=True):
            given[at] = str(classes[best])
    return given


def map_texts(questions: Sequence[Question], rows: Sequence[int]) -> list[str]:
    """What the words are taken from: the text and the question, as the prompt has them."""
    return [_text(questions[row]) for row in rows]


def _text(question: Question) -> str:
    return f"{question.text}\n{question.question}"


@dataclass
class TfIdf:
    """Word weights of texts, by the texts it is made with; a column of ones is the intercept's."""

    texts: Sequence[str]

    def __post_init__(self) -> None:
        """Learn the words and how rare they are."""
        documents = Counter(word for text in self.texts for word in set(words_of(text)))
        self._column = {word: at for at, word in enumerate(sorted(documents))}
        n = np.array([documents[word] for word in self._column], np.float64)
        self._idf = np.log((1 + len(self.texts)) / (1 + n)) + 1

    def __call__(self, texts: Sequence[str]) -> sparse.csr_array:
        """[n, words + 1] float64."""
        rows, columns, values = [], [], []
        for row, text in enumerate(texts):
            known = Counter(self._column[word] for word in words_of(text) if word in self._column)
            rows += [row] * len(known)
            columns += list(known)
            values += list(known.values())
        at = np.array(columns, np.int64)
        X = sparse.csr_array((np.array(values) * self._idf[at], (rows, at)), shape=(len(texts), len(self._idf)))
        norm = np.sqrt(X.multiply(X).sum(axis=1))
        scale = np.divide(1, norm, out=np.zeros_like(norm), where=norm > 0)  # a text may hold no known word
        return sparse.csr_array(sparse.hstack([sparse.diags_array(scale) @ X, np.ones((len(texts), 1))]))


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return WORD.findall(text.lower())


def fit_logistic(X: sparse.csr_array, y: np.ndarray, n_classes: int) -> np.ndarray:
    """Weights [d, k] of the multinomial logistic regression of y [n] on X [n, d], whose last column is 1."""
    n, d = X.shape

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        """Loss and gradient at these weights, flat as the optimiser wants them."""
        weights = flat.reshape(d, n_classes)
        scores = X @ weights
        log_p = scores - logsumexp(scores, axis=1, keepdims=True)
        error = np.exp(log_p)
        error[np.arange(n), y] -= 1
        penalised = weights * (np.arange(d) < d - 1)[:, None]
        loss = -log_p[np.arange(n), y].sum() + 0.5 * (penalised**2).sum()
        return float(loss), (X.T @ error + penalised).ravel()

    options = {"maxiter": MAX_ITERATIONS}
    found = minimize(objective, np.zeros(d * n_classes), jac=True, method="L-BFGS-B", options=options)
    return np.asarray(found.x.reshape(d, n_classes))
