"""Moment matching: tables of errors that explain how often each pair of functions gives each pair of answers.

Source: J. Saad-Falcon et al., Weaver, arXiv 2506.18203, appendix B: minimise ||(O - mu P mu^T) off the diagonal
blocks||^2 + ||diag(O) - mu P 1||^2 over mu, the probability of each answer given the class; the objective is that of
A. Ratner et al., Training complex models with multi-task weak supervision, AAAI 2019.
Departures: k classes and abstention as one more answer; softmax of logits, minimised by L-BFGS with the exact gradient
instead of plain descent at a rate of 1e-5, which hardly leaves its start; started with every function better than
chance, as the paper asks, because swapped classes fit as well; a pull towards that start by `pull` / rows, without
which many rare functions are fitted to noise (164 functions on 1,749 rows: accuracy .65 at 1, .85 at 10, as the vote).
Cost: O(p m^2 k^2) for the moments of p distinct rows of votes, O(m^2 k^3) an iteration; memory (m (k + 1))^2 float64.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from raypipe.label.label_model import LabelModel, posterior
from raypipe.label.votes import VoteCounts, Votes, one_hot

START = 0.7
"""Accuracy that a function has at the start, when it votes."""


class MomentMatching(LabelModel):
    """Answer probabilities from pairwise moments; the class shares are given, not learned.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(0, 2, 2000)
    >>> votes = np.where(rng.random((2000, 3)) < [0.9, 0.8, 0.7], truth[:, None], 1 - truth[:, None])
    >>> model = MomentMatching().fit(votes)
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
        pull: float = 10.0,
        max_iterations: int = 2000,
    ) -> None:
        """`class_balance`: the class shares, from a small labelled sample; None: every class alike."""
        self.n_classes = n_classes
        self.class_balance = class_balance
        self.pull = pull
        self.max_iterations = max_iterations

    def _learn(self, seen: VoteCounts) -> None:
        """Sets `answers_` [m, answer, true class], the last answer an abstention, and `misfit_` before and after."""
        cast = seen.outcomes(self.n_classes, abstentions=True)
        weight = seen.counts / seen.counts.sum()
        start = _start(np.einsum("p,pmv->mv", weight, cast), self.n_classes)
        flat = cast.reshape(len(cast), -1)
        moments = (flat * weight[:, None]).T @ flat
        apart = 1.0 - np.kron(np.eye(cast.shape[1]), np.ones((cast.shape[2],) * 2))
        pull = self.pull / seen.n_rows
        found = minimize(
            _pulled, start.ravel(), args=(start.ravel(), pull, moments, apart, self.prior_, start.shape), jac=True,
            method="L-BFGS-B",
            options={"maxiter": self.max_iterations, "maxfun": 4 * self.max_iterations, "ftol": 1e-9, "gtol": 1e-7},
        )  # fmt: skip
        before = _misfit(start.ravel(), moments, apart, self.prior_, start.shape)[0]
        after = _misfit(found.x, moments, apart, self.prior_, start.shape)[0]
        self.misfit_ = np.array([before, after])
        self.answers_ = softmax(found.x.reshape(start.shape), axis=1)

    def _answer(self, votes: Votes) -> np.ndarray:
        cast = one_hot(votes, self.n_classes, abstentions=True)
        log_answers = np.log(np.clip(self.answers_, 0.001, 0.999))
        return posterior(np.einsum("nmv,mvk->nk", cast, log_answers, optimize=True), self.prior_)


def _start(shares: np.ndarray, n_classes: int) -> np.ndarray:
    """Logits [m, answer, class] of functions as silent as seen, and else right with the start's accuracy."""
    wrong = (1 - START) / (n_classes - 1)
    right = np.where(np.eye(n_classes, dtype=bool), START, wrong)[None]
    voted = np.maximum(shares[:, :n_classes, None], 1e-4) * right  # answers it never gives stay rare
    silent = np.clip(shares[:, n_classes:], 1e-4, 1 - 1e-4)[:, :, None]
    voted = voted / voted.sum(axis=1, keepdims=True) * (1 - silent)
    found: np.ndarray = np.log(np.concatenate([voted, np.broadcast_to(silent, (len(shares), 1, n_classes))], axis=1))
    return found


def _pulled(
    logits: np.ndarray, start: np.ndarray, pull: float, moments: np.ndarray, apart: np.ndarray, prior: np.ndarray,
    shape: tuple[int, ...],
) -> tuple[float, np.ndarray]:  # fmt: skip
    """The objective with the pull towards the start."""
    misfit, slope = _misfit(logits, moments, apart, prior, shape)
    return misfit + pull * float(((logits - start) ** 2).sum()), slope + 2 * pull * (logits - start)


def _misfit(
    logits: np.ndarray, moments: np.ndarray, apart: np.ndarray, prior: np.ndarray, shape: tuple[int, ...]
) -> tuple[float, np.ndarray]:
    """The objective and its gradient by the logits."""
    answers = np.exp(log_softmax(logits.reshape(shape), axis=1))
    mu = answers.reshape(-1, shape[2])
    gap = (mu * prior) @ mu.T - moments
    gap *= apart
    margin = mu @ prior - np.diag(moments)
    by_mu = 4 * gap @ (mu * prior) + 2 * margin[:, None] * prior
    by_answers = by_mu.reshape(shape)
    by_logits = answers * (by_answers - (answers * by_answers).sum(axis=1, keepdims=True))
    return float((gap**2).sum() + (margin**2).sum()), by_logits.ravel()
