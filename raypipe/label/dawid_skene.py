"""Dawid-Skene: each function has its own table of errors, found with the classes by expectation maximisation.

Source: A. P. Dawid and A. M. Skene, Maximum likelihood estimation of observer error-rates using the EM algorithm,
Applied Statistics 1979, equations 2.3 to 2.5; started from the vote shares.
Departures: rows are counted as distinct patterns of votes, which changes nothing but the cost; `uses_abstentions`
treats silence as one more answer, without which functions that know only one class teach nothing; probabilities stay
above 1e-10.
Cost: O(p m k^2) an iteration for p distinct rows of votes; memory p m k float64.
"""

import numpy as np

from raypipe.label.label_model import LabelModel, posterior
from raypipe.label.votes import VoteCounts, Votes, one_hot, vote_shares

SMALLEST = 1e-10


class DawidSkene(LabelModel):
    """Confusion tables and class shares of maximal likelihood.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(0, 2, 2000)
    >>> accuracy = np.array([0.9, 0.8, 0.7])
    >>> votes = np.where(rng.random((2000, 3)) < accuracy, truth[:, None], 1 - truth[:, None])
    >>> model = DawidSkene().fit(votes)
    >>> bool((model.predict(votes) == truth).mean() > 0.88)
    True
    """

    confusion_: np.ndarray
    n_iterations_: np.ndarray
    LEARNED = ("prior_", "confusion_", "n_iterations_")

    def __init__(
        self,
        *,
        n_classes: int = 2,
        class_balance: tuple[float, ...] | None = None,
        uses_abstentions: bool = False,
        max_iterations: int = 1000,
        tolerance: float = 1e-8,
    ) -> None:
        """`class_balance`: fixed shares; None: learned. `tolerance`: gain in mean log-likelihood at which it ends."""
        self.n_classes = n_classes
        self.class_balance = class_balance
        self.uses_abstentions = uses_abstentions
        self.max_iterations = max_iterations
        self.tolerance = tolerance

    def _learn(self, seen: VoteCounts) -> None:
        """Expectation and maximisation in turns; sets `confusion_` [m, outcome, true class]."""
        covered = (seen.patterns >= 0).any(axis=1)
        seen = VoteCounts(seen.patterns[covered], seen.counts[covered])
        cast = seen.outcomes(self.n_classes, abstentions=self.uses_abstentions)
        belief, before = vote_shares(seen.patterns, self.n_classes), -np.inf
        for iteration in range(1, self.max_iterations + 1):  # noqa: B007
            self._maximise(cast, seen.counts[:, None] * belief)
            scores = self._log_likelihood(cast)
            belief = posterior(scores, self.prior_)
            now = float(np.average(np.logaddexp.reduce(scores + np.log(self.prior_), axis=1), weights=seen.counts))
            if now - before < self.tolerance:
                break
            before = now
        self.n_iterations_ = np.array([iteration])

    def _maximise(self, cast: np.ndarray, belief: np.ndarray) -> None:
        if self.class_balance is None:
            self.prior_ = np.maximum(belief.sum(axis=0) / belief.sum(), SMALLEST)
        table = np.maximum(np.einsum("pmv,pk->mvk", cast, belief, optimize=True), SMALLEST)
        self.confusion_ = np.maximum(table / table.sum(axis=1, keepdims=True), SMALLEST)

    def _log_likelihood(self, cast: np.ndarray) -> np.ndarray:
        """Log-probability of the votes under each class: [n, m, outcome] -> [n, k]."""
        found: np.ndarray = np.einsum("nmv,mvk->nk", cast, np.log(self.confusion_), optimize=True)
        return found

    def _answer(self, votes: Votes) -> np.ndarray:
        cast = one_hot(votes, self.n_classes, abstentions=self.uses_abstentions)
        return posterior(self._log_likelihood(cast), self.prior_)
