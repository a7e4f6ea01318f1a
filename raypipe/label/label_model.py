"""What every label model has in common: counts of votes that add up, probabilities that fall back on the prior.

A label model learns from votes alone, `fit(votes)`; `partial_fit` and `merge` take in further rows. The probability
of a row that nobody voted on is the prior.
"""

from typing import Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from raypipe.label.votes import ABSTAIN, VoteCounts, Votes, check_votes, one_hot

State = dict[str, np.ndarray]


class LabelModel(BaseEstimator):
    """Votes -> class probabilities. A method learns in `_learn(seen)` and answers in `_answer(votes)`."""

    seen_: VoteCounts
    prior_: np.ndarray
    n_classes: int
    class_balance: tuple[float, ...] | None
    LEARNED: tuple[str, ...] = ("prior_",)
    """What `_learn` sets, all arrays."""

    def fit(self, votes: npt.ArrayLike) -> Self:
        """Learn from votes [n, m]; what was learned before is forgotten.

        Raises
        ------
        ValueError
            If no row has a vote, a vote is no class, or the settings can't be.
        """
        return self._forget().partial_fit(votes)._fitted()

    def fit_counts(self, seen: VoteCounts) -> Self:
        """Learn from rows of votes that were counted elsewhere; what was learned before is forgotten.

        Raises
        ------
        ValueError
            As `fit` does.
        """
        self._forget()._check_settings()
        check_votes(seen.patterns, self.n_classes)
        return self._take(seen)._fitted()

    def _forget(self) -> Self:
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)
        return self

    def partial_fit(self, votes: npt.ArrayLike) -> Self:
        """Take in these rows beside those before; what they teach is learned when it is next asked for."""
        self._check_settings()
        return self._take(VoteCounts.of(check_votes(votes, self.n_classes)))

    def merge(self, other: Self) -> Self:
        """Take in what another has seen of other rows, be it without a vote."""
        if not hasattr(other, "seen_"):
            raise _not_fitted(other)
        return self._take(other.seen_)

    def _take(self, more: VoteCounts) -> Self:
        self.seen_ = self.seen_.merge(more) if hasattr(self, "seen_") else more
        for name in self.LEARNED:
            if hasattr(self, name):
                delattr(self, name)
        return self

    def _learn(self, seen: VoteCounts) -> None:
        """Set what is learned from the counts."""
        raise NotImplementedError

    def _answer(self, votes: Votes) -> np.ndarray:
        """Probabilities [n, k] of rows with a vote at least."""
        raise NotImplementedError

    def predict_proba(self, votes: npt.ArrayLike) -> np.ndarray:
        """Class probabilities [n, m] -> [n, k]; the prior where nobody votes.

        Raises
        ------
        ValueError
            If a vote is no class, or there are more or fewer labelling functions than in `fit`.
        """
        given, m = check_votes(votes, self._fitted().n_classes), self.seen_.patterns.shape[1]
        if given.shape[1] != m:
            raise ValueError(f"votes must come from the {m} labelling functions of fit, got {given.shape[1]}.")
        covered = (given != ABSTAIN).any(axis=1)
        found = np.tile(self.prior_, (len(given), 1))
        found[covered] = self._answer(given[covered])
        return found

    def predict(self, votes: npt.ArrayLike) -> np.ndarray:
        """The likeliest class of each row, the first of equals: [n, m] -> [n] int64."""
        found: np.ndarray = self.predict_proba(votes).argmax(axis=1)
        return found

    def state(self) -> State:
        """What was learned, and the counts that further rows are added to."""
        fitted = self._fitted()
        learned = {name: np.asarray(getattr(fitted, name)) for name in self.LEARNED}
        return {**learned, "patterns": fitted.seen_.patterns, "counts": fitted.seen_.counts}

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(**self.get_params())
        made.seen_ = VoteCounts(state["patterns"], state["counts"])
        for name in self.LEARNED:
            setattr(made, name, state[name])
        return made

    def _fitted(self) -> Self:
        if not hasattr(self, "seen_"):
            raise _not_fitted(self)
        if not hasattr(self, "prior_"):
            if not (self.seen_.patterns != ABSTAIN).any():
                raise ValueError(
                    f"a label model needs a vote at least, and all of {self.seen_.n_rows} rows have only abstentions."
                )
            self.prior_ = self._balance()
            self._learn(self.seen_)
        return self

    def _balance(self) -> np.ndarray:
        """The prior before anything is learned: as the settings say, else every class alike."""
        given = self.class_balance or (1.0 / self.n_classes,) * self.n_classes
        return np.asarray(given, np.float64) / sum(given)

    def _check_settings(self) -> None:
        if not 2 <= self.n_classes <= 127:
            raise ValueError(f"n_classes must be 2 to 127, votes being int8; got {self.n_classes}.")
        given = self.class_balance
        if given is not None and (len(given) != self.n_classes or not all(0 < share < 1 for share in given)):
            raise ValueError(
                f"class_balance must give each of {self.n_classes} classes a share between 0 and 1, got {given}."
            )


def _not_fitted(model: LabelModel) -> NotFittedError:
    return NotFittedError(f"{type(model).__name__} must be fitted before it answers; call fit(votes).")


def posterior(log_likelihood: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Bayes' rule: log-likelihoods [n, k] and prior [k] -> probabilities [n, k]."""
    logits = log_likelihood + np.log(prior)
    logits -= logits.max(axis=1, keepdims=True)  # exp() can't overflow; the ratios are unchanged
    weights = np.exp(logits)
    found: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return found


def vote_by_accuracy(votes: Votes, accuracy: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Bayes' rule for functions of these accuracies [m], errors spread evenly: votes [n, m] -> [n, k]."""
    k = len(prior)
    weight = np.log((k - 1) * accuracy / (1 - accuracy))
    return posterior(np.einsum("nmk,m->nk", one_hot(votes, k, abstentions=False), weight), prior)
