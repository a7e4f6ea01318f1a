"""In which order rows are taken: by score, by an adjusted score, by a seeded draw, or as a control arm takes them.

An order gives each row of a group a number, higher is taken earlier; ties are decided by a hash of (seed, text).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from raypipe.arrays.hashing import uniform
from raypipe.select.ranking.adjust import Fit
from raypipe.select.ranking.rank_table import RankTable
from raypipe.select.ranking.ranks import Ranks, keys_of
from raypipe.select.rows import Rows

Order = Callable[[Rows, str], np.ndarray]
"""(rows, name of their group) -> [n] float64."""


def keys(rows: Rows, group: str, *, order: Order, seed: int) -> np.ndarray:
    """The keys [n] complex128 that sort rows of one group by an order."""
    return keys_of(order(rows, group), uniform(rows.text_hash, seed=seed, purpose="ties"))


def by_score(rows: Rows, group: str) -> np.ndarray:
    """The best score first."""
    return rows.score


def longest(rows: Rows, group: str) -> np.ndarray:
    """The longest document first, by its tokens before truncation."""
    return rows.n_tokens_total.astype(np.float64)


def lowest_loss(rows: Rows, group: str) -> np.ndarray:
    """The document that the intact model predicts best first."""
    return -rows.further["loss"].astype(np.float64)


@dataclass(frozen=True)
class AtRandom:
    """Any order, drawn from the seed."""

    seed: int

    def __call__(self, rows: Rows, group: str) -> np.ndarray:
        """[n] in [0, 1)."""
        return uniform(rows.text_hash, seed=self.seed, purpose="random arm")


@dataclass(frozen=True)
class Middle:
    """The document first whose loss is nearest to the middle of its group's.

    Source: M. Marion et al., When Less is More: Investigating Data Pruning for Pretraining LLMs at Scale, arXiv
    2309.04564, section 3.1, where the middle of the perplexities was the best part to keep.
    """

    ranks: dict[str, Ranks]
    """By group, of `lowest_loss`."""
    seed: int

    def __call__(self, rows: Rows, group: str) -> np.ndarray:
        """[n] in [-1/2, 0]."""
        rank = self.ranks[group].rank(keys(rows, group, order=lowest_loss, seed=self.seed))
        return -np.abs(rank - 0.5)


@dataclass(frozen=True)
class Adjusted:
    """The score that is highest for what its regressors make one expect."""

    regressors: tuple[str, ...]
    tables: dict[str, list[RankTable]]
    """By group: of the scores, then of each regressor"""
    fits: dict[str, Fit]

    def __call__(self, rows: Rows, group: str) -> np.ndarray:
        """[n] residual ranks, in (-1, 1) up to the fit."""
        X, y = self.ranked(rows, group)
        return self.fits[group].residual(X, y)

    def ranked(self, rows: Rows, group: str) -> tuple[np.ndarray, np.ndarray]:
        """Ranks of the regressors [n, k] and of the score [n], in [0, 1]."""
        values = self.values(rows)
        y, *X = [table.rank(value) for table, value in zip(self.tables[group], values, strict=True)]
        return np.column_stack(X), y

    def values(self, rows: Rows) -> list[np.ndarray]:
        """What is ranked: the score, then each regressor, each [n] float64."""
        return [rows.score, *(rows.further[name].astype(np.float64) for name in self.regressors)]

    def most_moved(self, group: str) -> float:
        """How far two rows' keys can have come to lie nearer or farther, see `Fit.most_moved`."""
        score, *regressors = self.tables[group]
        return self.fits[group].most_moved(score, regressors)


@dataclass(frozen=True)
class Drawn:
    """A draw without replacement in which a row's chance, at each step, is proportional to rank ** (1 / temperature).

    Adding Gumbel noise to the logarithm of the weights and taking the highest is that draw: W. Kool et al., Stochastic
    Beams and Where to Find Them, ICML 2019, section 2. Ranks instead of scores, so that outliers don't take it all and
    one temperature means the same in every domain.
    """

    ranks: dict[str, Ranks]
    order: Order
    temperature: float
    seed: int

    def __call__(self, rows: Rows, group: str) -> np.ndarray:
        """[n] noisy logarithms of the ranks."""
        rank = self.ranks[group].rank(keys(rows, group, order=self.order, seed=self.seed))
        chance = np.maximum(uniform(rows.text_hash, seed=self.seed, purpose="temperature"), 2.0**-54)  # never 0
        return np.asarray(np.log(rank) / self.temperature - np.log(-np.log(chance)))
