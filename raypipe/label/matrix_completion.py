"""Matrix completion: how often functions vote together, explained by what each votes given the class, in a few steps.

Source: A. Ratner et al., Training complex models with multi-task weak supervision, AAAI 2019, section 4 (algorithm 1
for independent functions), in the form of their library snorkel 0.10: minimise ||(O - mu P mu^T) off the diagonal
blocks||^2 + ||mu P 1 - diag(O)||^2 over mu, the probability of each vote given the class, by 100 steps of gradient
descent with momentum from functions that are right seven times in ten. An abstention is no evidence.
Departures: no random scale of the start, so that there is no seed; the start shares what isn't right among the other
classes.
Stopping early is part of the method: functions that depend on each other have their minimum elsewhere. On the ten
functions of wrench_youtube accuracy is .85 after 100 steps (snorkel: .85) and .77 at the minimum; silence taken as one
more answer and the minimum sought (`moment_matching`) give .82.
Cost: O(p m^2 k^2) for the moments of p distinct rows of votes, O(m^2 k^3) a step; memory (m k)^2 float64.
"""

import numpy as np

from raypipe.label.label_model import LabelModel, posterior
from raypipe.label.votes import VoteCounts, Votes, one_hot


class MatrixCompletion(LabelModel):
    """What each function votes given the class, from who votes alike; the class shares are given, not learned.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(0, 2, 2000)
    >>> votes = np.where(rng.random((2000, 3)) < [0.9, 0.8, 0.7], truth[:, None], 1 - truth[:, None])
    >>> model = MatrixCompletion().fit(votes)
    >>> bool((model.predict(votes) == truth).mean() > 0.85)
    True
    """

    answers_: np.ndarray
    misfit_: np.ndarray
    LEARNED = ("prior_", "answers_", "misfit_")

    def __init__(
        self,
        *,
        n_classes: int = 2,
        class_balance: tuple[float, ...] | None = None,
        start: float = 0.7,
        learning_rate: float = 0.01,
        momentum: float = 0.9,
        n_steps: int = 100,
    ) -> None:
        """`class_balance`: the class shares; None: every class alike. `start`: how often a vote is right at first."""
        self.n_classes = n_classes
        self.class_balance = class_balance
        self.start = start
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.n_steps = n_steps

    def _learn(self, seen: VoteCounts) -> None:
        """Sets `answers_` [m, vote, true class] and `misfit_` before and after.

        Raises
        ------
        ValueError
            If the start is no probability above 0, or the steps are so long that the misfit grows without bound.
        """
        if not 0 < self.start <= 1:
            raise ValueError(f"start must be a share of right votes above 0 and at most 1, got {self.start}.")
        cast = seen.outcomes(self.n_classes, abstentions=False)
        flat, weight = cast.reshape(len(cast), -1), seen.counts / seen.counts.sum()
        moments = (flat * weight[:, None]).T @ flat
        apart = 1.0 - np.kron(np.eye(cast.shape[1]), np.ones((self.n_classes,) * 2))
        mu = _started(np.diag(moments), self.prior_, self.start)
        before, speed = _misfit(mu, moments, apart, self.prior_)[0], np.zeros_like(mu)
        with np.errstate(over="ignore", invalid="ignore"):  # steps that lead away are refused below
            for _ in range(self.n_steps):
                speed = self.momentum * speed + _misfit(mu, moments, apart, self.prior_)[1]
                mu = mu - self.learning_rate * speed
            after = _misfit(mu, moments, apart, self.prior_)[0]
        if not after <= 2 * before + 1e-6:  # nor NaN
            raise ValueError(
                f"the misfit must not grow, and went from {before:.3g} to {after:.3g}; lower learning_rate "
                f"{self.learning_rate} or n_steps {self.n_steps}."
            )
        smallest = min(0.01, 0.1 ** np.ceil(np.log10(seen.n_rows)))
        self.misfit_ = np.array([before, after])
        self.answers_ = np.clip(mu, smallest, 1 - smallest).reshape(cast.shape[1], self.n_classes, self.n_classes)

    def _answer(self, votes: Votes) -> np.ndarray:
        cast = one_hot(votes, self.n_classes, abstentions=False)
        return posterior(np.einsum("nmv,mvk->nk", cast, np.log(self.answers_), optimize=True), self.prior_)


def _started(shares: np.ndarray, prior: np.ndarray, right: float) -> np.ndarray:
    """Probabilities [m k, class] of votes given the class: so many of them right, and cast as often as seen."""
    k = len(prior)
    is_own = np.tile(np.eye(k, dtype=bool), (len(shares) // k, 1))
    own = np.where(is_own, np.minimum(shares[:, None] * right / prior, 1), 0)
    rest = (shares - own @ prior) / (1 - is_own @ prior)  # of any other class alike
    found: np.ndarray = np.where(is_own, own, rest[:, None])
    return found


def _misfit(mu: np.ndarray, moments: np.ndarray, apart: np.ndarray, prior: np.ndarray) -> tuple[float, np.ndarray]:
    """The objective and its gradient."""
    gap = ((mu * prior) @ mu.T - moments) * apart
    margin = mu @ prior - np.diag(moments)
    slope = 4 * gap @ (mu * prior) + 2 * margin[:, None] * prior
    return float((gap**2).sum() + (margin**2).sum()), slope
