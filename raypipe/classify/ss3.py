"""SS3: a classifier of word counts alone, that learns and reads word by word and whose confidences are its explanation.

Source: S. Burdisso, M. Errecalde and M. Montes-y-Gomez, A text classification framework for simple and effective early
depression detection over social media streams, Expert Systems with Applications 2019 (arXiv 1905.08772), section 3:
local value, significance, sanction, global value. Where the text leaves room the first author's package decides: words
seen once are noise, the median is the lower one, of two classes median and spread are both the lower value, and a class
that never saw a word has significance 0. `significance="guarded"` and `confidence="normalised"` are that package's
defaults.
Departures: probabilities are shares of the summed confidences; without any, shares of the words learnt.
Cost: counts [k, d] are all there is to learn; predicting takes O(k d) once after learning and O(k) a word.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_non_negative, validate_data

from raypipe.contracts.estimator import State
from raypipe.fitting.classes import classes_of, classes_state

LEAST_SPREAD = 0.03
"""Of the guarded significance."""


class SS3(ClassifierMixin, BaseEstimator):
    """A classifier by how confidently each word speaks for each class.

    >>> import numpy as np
    >>> counts = np.array([[3, 0, 1], [2, 0, 1], [0, 4, 1]])  # of three words in three texts
    >>> model = SS3().fit(counts, np.array(["sport", "sport", "music"]))
    >>> model.predict(np.array([[1, 0, 5], [0, 1, 0]])).tolist()
    ['sport', 'music']
    """

    takes: ClassVar[Literal["counts"]] = "counts"
    classes_: np.ndarray
    counts_: np.ndarray
    n_features_in_: int
    _said: dict[tuple[object, ...], np.ndarray]
    """Settings -> the confidences that they give; forgotten when more is learned."""

    def __init__(
        self,
        *,
        smoothness: float = 0.45,
        significance_level: float = 0.5,
        sanction_level: float = 1.0,
        cut: float = 0.0,
        significance: Literal["paper", "guarded"] = "paper",
        confidence: Literal["global", "normalised"] = "global",
    ) -> None:
        """The paper's sigma, lambda and rho are `smoothness`, `significance_level` and `sanction_level`.

        `cut`: confidences up to it are 0. `significance`: `guarded` gives words that all classes use none.
        `confidence`: `normalised` divides by the greatest of the class.
        """
        self.smoothness = smoothness
        self.significance_level = significance_level
        self.sanction_level = sanction_level
        self.cut = cut
        self.significance = significance
        self.confidence = confidence

    def __sklearn_tags__(self) -> Tags:
        """Takes counts, dense or sparse."""
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = tags.input_tags.sparse = True
        tags.classifier_tags.poor_score = True  # of rows that aren't counts, as for naive Bayes
        return tags

    def fit(self, X: Any, y: np.ndarray) -> Self:
        """Learn from counts of words [n, d], dense or CSR, and classes [n]; what was learned before is forgotten.

        Raises
        ------
        ValueError
            If a count is negative or not finite, or a setting is below 0.
        """
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)
        return self.partial_fit(X, y)

    def partial_fit(self, X: Any, y: np.ndarray, classes: np.ndarray | None = None) -> Self:
        """Learn from more texts; `classes` may name those that are to come."""
        for name in ("smoothness", "significance_level", "sanction_level", "cut"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}.")
        X, y = validate_data(
            self, X, y, dtype=np.float64, accept_sparse="csr", reset=not hasattr(self, "classes_")
        )  # fmt: skip
        check_non_negative(X, "SS3 (counts of words)")
        check_classification_targets(y)
        names = np.unique(y if classes is None else np.concatenate([y, np.asarray(classes)]))
        counts = np.stack([np.asarray(X[np.flatnonzero(y == name)].sum(axis=0)).ravel() for name in names])
        self._take(names, counts)
        return self

    def merge(self, other: Self) -> Self:
        """Take in what another has learned of other texts, with the same words."""
        check_is_fitted(other)
        self._take(other.classes_, other.counts_)
        self.n_features_in_ = other.n_features_in_
        return self

    def _take(self, names: np.ndarray, counts: np.ndarray) -> None:
        before = getattr(self, "classes_", names[:0])
        every = np.unique(np.concatenate([before, names]))
        total = np.zeros((len(every), counts.shape[1]))
        if len(before):
            total[np.searchsorted(every, before)] += self.counts_
        total[np.searchsorted(every, names)] += counts
        self.classes_, self.counts_, self._said = every, total, {}

    def local_values(self) -> np.ndarray:
        """How much a class uses each word, by its commonest: [k, d] in [0, 1]; 0 for words seen at most once."""
        check_is_fitted(self)
        commonest = np.maximum(self.counts_.max(axis=1, keepdims=True), 1)
        found: np.ndarray = np.where(self.counts_ > 1, (self.counts_ / commonest) ** self.smoothness, 0.0)
        return found

    def significances(self) -> np.ndarray:
        """How much more a class uses each word than classes do: [k, d] in [0, 1]."""
        local, level = self.local_values(), self.significance_level
        middle, spread = _middle_and_spread(local)
        is_stopped = np.zeros(local.shape[1], bool)
        if self.significance == "guarded":
            floor = LEAST_SPREAD / level if level else 0.0
            spread = np.where(level * spread <= LEAST_SPREAD, floor, spread)
            is_common = (middle > 0.2) | (local > 0.09).all(axis=0)
            is_stopped = (is_common & (spread <= 0.1)) | (middle >= 0.3)
        scale = level * spread
        ratio = np.divide(local - middle, scale, out=np.zeros_like(local), where=scale > 0)
        found = np.where(scale > 0, 0.5 * np.tanh(3 * ratio - 3) + 0.5, 0.0)
        found = np.where((spread == 0) & (local > 0), 1.0, found)
        return np.where((self.counts_ == 0) | is_stopped, 0.0, found)

    def sanctions(self) -> np.ndarray:
        """How few other classes each word is significant to: [k, d] in [0, 1]."""
        significance, k = self.significances(), len(self.classes_)
        others = significance.sum(axis=0) - significance
        if k == 1:
            return np.ones_like(significance)
        share = np.clip((k - (others + 1)) / ((k - 1) * (others + 1)), 0.0, None)  # rounding could go below
        found: np.ndarray = share**self.sanction_level
        return found

    def global_values(self) -> np.ndarray:
        """Local value x significance x sanction: [k, d] in [0, 1]."""
        found: np.ndarray = self.local_values() * self.significances() * self.sanctions()
        return found

    def confidences(self) -> np.ndarray:
        """What each word says for each class: [d, k], not to be written to; a text's is the sum over its words."""
        check_is_fitted(self)
        settings = tuple(self.get_params().values())
        if settings not in self._said:
            self._said.clear()  # one copy is enough
            self._said[settings] = self._confidences()
        return self._said[settings]

    def _confidences(self) -> np.ndarray:
        values = self.global_values()
        if self.confidence == "normalised":
            top = values.max(axis=1, keepdims=True)
            values = np.divide(values, top, out=np.zeros_like(values), where=top > 0)
        found = np.ascontiguousarray(np.where(values > self.cut, values, 0.0).T)
        found.flags.writeable = False
        return found

    def summed(self, X: Any) -> np.ndarray:
        """What all words of a text say: [n, d] -> [n, k]; that of a text is the sum of its parts'."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, accept_sparse="csr", reset=False)
        check_non_negative(X, "SS3 (counts of words)")
        return np.asarray(X @ self.confidences())

    def predict_proba(self, X: Any) -> np.ndarray:
        """Shares of the confidences: [n, d] -> [n, k]; of a text that says nothing, the words learnt of each class."""
        d = self.summed(X)
        words = self.counts_.sum(axis=1)
        d = np.where(d.sum(axis=1, keepdims=True) > 0, d, words if words.any() else np.ones(len(words)))
        found: np.ndarray = d / d.sum(axis=1, keepdims=True)
        return found

    def predict(self, X: Any) -> np.ndarray:
        """The class that most is said for: [n, d] -> [n]; of equal ones the first."""
        check_is_fitted(self)
        found: np.ndarray = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return found

    def explain(self, X: Any, names: Sequence[str], *, n_words: int = 5) -> list[str]:
        """For each row the words that say most for its class, with what they say."""
        best, confidences, found = self.predict_proba(X).argmax(axis=1), self.confidences(), []
        X = csr_array(validate_data(self, X, accept_sparse="csr", reset=False))
        for row, of in enumerate(best):
            own = slice(X.indptr[row], X.indptr[row + 1])
            words, said = X.indices[own], X.data[own] * confidences[X.indices[own], of]
            top = [at for at in np.lexsort((words, -said))[:n_words] if said[at] > 0]
            why = ", ".join(f"{names[words[at]]} {said[at]:.3f}" for at in top)
            found.append(f"{self.classes_[of]}: {why or 'no word says anything'}")
        return found

    def state(self) -> State:
        """What was learned: counts and names of the classes."""
        check_is_fitted(self)
        return {**classes_state(self.classes_), "counts": self.counts_}

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(**self.get_params())
        made.classes_, made.counts_, made._said = classes_of(state), state["counts"], {}
        made.n_features_in_ = state["counts"].shape[1]
        return made


def _middle_and_spread(local: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lower median over classes [d] and the mean distance from it [d]; of two classes both the lower value."""
    if len(local) == 2:
        lower = local.min(axis=0)
        return lower, lower
    middle = np.sort(local, axis=0)[(len(local) - 1) // 2]
    return middle, np.abs(local - middle).mean(axis=0)
