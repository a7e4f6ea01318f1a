"""How many documents free vectors of d dimensions can tell apart: the vectors themselves are trained, no text is.

Source: O. Weller et al., arXiv 2508.21038, the free-embedding experiment: every set of k of n documents is a query;
vectors of length 1, full-batch InfoNCE at temperature .1 by Adam at .01, each step brought back to length 1; stopped
after 100,000 steps or 1,000 without 1e-5 of gain; n is critical where no larger one reaches 100 %.
Departures: the gradient is written out; the search goes up by ones from a given n until three n in a row fail, where
theirs gallops, bisects and sweeps n - 4 to n + 5: the same answer where passing is monotone but for luck.
Cost: O(steps C(n, k) n d); seconds for d up to 6.
"""

from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np

from raypipe.evaluate.limit.patterns import relevance


@dataclass(frozen=True)
class FreeEmbedding:
    """The experiment's settings; those of the paper."""

    k: int = 2
    """Documents that a query returns."""
    learning_rate: float = 0.01
    temperature: float = 0.1
    max_steps: int = 100_000
    patience: int = 1_000
    """Steps without a gain that end it."""
    min_gain: float = 1e-5
    look_every: int = 50
    """Steps between looks at the accuracy."""

    def accuracy(self, n: int, d: int, *, seed: int) -> float:
        """Of every set of k of n documents: the best share, at any look, of relevant documents in the first k.

        Raises
        ------
        ValueError
            If there is no document too many, or no dimension.
        """
        if not 1 <= self.k < n or d < 1:
            raise ValueError(f"n must be above k ({self.k}) and d at least 1, got n {n} and d {d}.")
        every = relevance(np.array([*combinations(range(n), self.k)]), n_documents=n)
        return self.accuracy_of(every, d, seed=seed)

    def accuracy_of(self, relevant: np.ndarray, d: int, *, seed: int) -> float:
        """The same of any queries [q, n] bool with k relevant documents each."""
        rng = np.random.default_rng(seed)
        both = [_unit(rng.normal(size=(rows, d))) for rows in relevant.shape]
        moments = [(np.zeros_like(X), np.zeros_like(X)) for X in both]
        best, lowest, since = share_in_first_k(both[0] @ both[1].T, relevant, k=self.k), np.inf, 0
        for step in range(1, self.max_steps + 1):
            loss, gradients = self._loss(both[0], both[1], relevant)
            both = [
                _unit(X - self._adam(moment, gradient, step))
                for X, moment, gradient in zip(both, moments, gradients, strict=True)
            ]
            since, lowest = (0, loss) if loss < lowest - self.min_gain else (since + 1, lowest)
            if step % self.look_every == 0 or since >= self.patience:
                best = max(best, share_in_first_k(both[0] @ both[1].T, relevant, k=self.k))
            if best == 1.0 or since >= self.patience:
                break
        return best

    def critical_n(self, d: int, *, start: int, seed: int, tries: int = 3) -> int:
        """The largest n at 100 %, from `start` down to where one passes and up until `tries` in a row fail."""

        @cache
        def passes(n: int) -> bool:
            return self.accuracy(n, d, seed=seed) == 1

        n = start
        while n > self.k and not passes(n):  # k documents of k are always first
            n -= 1
        critical = n
        while n - critical < tries:
            n += 1
            if passes(n):
                critical = n
        return critical

    def _loss(self, U: np.ndarray, V: np.ndarray, relevant: np.ndarray) -> tuple[float, list[np.ndarray]]:
        """InfoNCE over the relevant entries, and its gradients."""
        logits = U @ V.T / self.temperature
        logits -= logits.max(axis=1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        n_relevant = relevant.sum()
        slope = (np.exp(log_p) * self.k - relevant) / (n_relevant * self.temperature)
        return float(-log_p[relevant].sum() / n_relevant), [slope @ V, slope.T @ U]

    def _adam(self, moment: tuple[np.ndarray, np.ndarray], gradient: np.ndarray, step: int) -> np.ndarray:
        """What Adam takes off; its moments are brought up to date in place."""
        first, second = moment
        first += 0.1 * (gradient - first)
        second += 0.001 * (gradient**2 - second)
        corrected = np.sqrt(second / (1 - 0.999**step)) + 1e-8
        return np.asarray(self.learning_rate * first / (1 - 0.9**step) / corrected)


def share_in_first_k(score: np.ndarray, is_relevant: np.ndarray, *, k: int) -> float:
    """Of the relevant entries [q, n], the share whose score is among their row's first k; ties count against it."""
    last = np.partition(score, -k - 1, axis=1)[:, -k - 1, None]  # the best that isn't among them
    return float((score > last)[is_relevant].mean())


def _unit(X: np.ndarray) -> np.ndarray:
    return np.asarray(X / np.linalg.norm(X, axis=1, keepdims=True))
