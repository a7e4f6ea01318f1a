"""The numbers of a report, from columns in memory: quantiles, rank correlations, densities, extremes."""

from dataclasses import dataclass

import numpy as np

from raypipe.arrays.ranks import spearman

BASELINES = {"length": "length", "loss": "loss", "zlib_ratio": "zlib ratio"}
"""Columns that a score may merely rebuild, and what we call them. length counts the scored tokens."""

MIN_ROWS = 20
"""Rows below which a rank correlation says little: its standard error is 1 / sqrt(n - 1), 0.23 at 20."""

MAX_RANKED = 50_000
"""Rows that are ranked for one correlation; its standard error is then below 0.005."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def by_domain(domain: np.ndarray, n_domains: int) -> list[np.ndarray]:
    """Row numbers of each domain, ascending: [n] -> d arrays, by one stable sort."""
    order = np.argsort(domain, kind="stable")
    return np.split(order, np.cumsum(np.bincount(domain, minlength=n_domains))[:-1])


@dataclass(frozen=True)
class Correlation:
    """Rank correlations of the score with one baseline."""

    baseline: str
    within: np.ndarray
    """In each domain [d]; NaN where it isn't defined."""
    n_rows: np.ndarray
    """Rows behind each [d]."""
    pooled: float
    """Over all domains together."""

    @property
    def mean_within(self) -> float:
        """The mean over domains, weighted by rows: what ranking inside domains is exposed to."""
        known = np.isfinite(self.within)
        return float(np.average(self.within[known], weights=self.n_rows[known])) if known.any() else float("nan")

    def strong_domains(self, bar: float) -> list[int]:
        """Domains of at least `MIN_ROWS` rows whose correlation is above the bar in absolute value, strongest first."""
        strong = np.isfinite(self.within) & (np.abs(self.within) > bar) & (self.n_rows >= MIN_ROWS)
        return sorted(np.flatnonzero(strong).tolist(), key=lambda number: -abs(self.within[number]))


def correlate(
    score: np.ndarray, kept: np.ndarray, groups: list[np.ndarray], *, skip: str = "", max_rows: int = MAX_RANKED
) -> list[Correlation]:
    """The score [n] against every baseline that was measured, except the column that the score itself is.

    Of more than `max_rows` rows a seeded draw is ranked.
    """
    measured = [name for name in BASELINES if name != skip and np.isfinite(kept[name]).any()]
    known = np.isfinite(score)
    generator = np.random.default_rng(0)
    everything = _drawn(np.arange(len(score)), max_rows, generator)
    drawn = [_drawn(rows, max_rows, generator) for rows in groups]
    return [
        Correlation(
            baseline=name,
            within=np.array([spearman(score[rows], kept[name][rows]) for rows in drawn]),
            n_rows=np.array([known[rows].sum() for rows in groups]),
            pooled=spearman(score[everything], kept[name][everything]),
        )
        for name in measured
    ]


def _drawn(rows: np.ndarray, n: int, generator: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= n else np.sort(generator.choice(rows, n, replace=False))


def quantiles(values: np.ndarray, groups: list[np.ndarray], probabilities: tuple[float, ...] = QUANTILES) -> np.ndarray:
    """Quantiles of each group over its finite values, [d, q]; NaN for a group without any."""
    result = np.full((len(groups), len(probabilities)), np.nan)
    for number, rows in enumerate(groups):
        finite = values[rows][np.isfinite(values[rows])]
        if len(finite):
            result[number] = np.quantile(finite.astype(np.float64), probabilities)
    return result


def medians(values: np.ndarray, groups: list[np.ndarray]) -> np.ndarray:
    """The median of each group over its finite values, [d]."""
    return quantiles(values, groups, (0.5,))[:, 0]


def duplicate_fraction(text_hash: np.ndarray) -> float:
    """Share of rows whose text has been seen in an earlier row; 0 for no rows."""
    ordered = np.sort(text_hash)  # many times faster than np.unique, which hashes
    return float((ordered[1:] == ordered[:-1]).sum() / max(len(ordered), 1))


def density(values: np.ndarray, *, low: float, high: float, n_points: int = 160) -> np.ndarray:
    """A smooth density of the values over [low, high], its peak scaled to 1: [n_points].

    A histogram smoothed by a Gaussian of Silverman's width: the bandwidth that suits a Gaussian, from the smaller of
    the standard deviation and the interquartile range, so that a long tail doesn't flatten the peak.
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    if not len(finite):
        return np.zeros(n_points)
    step = (high - low) / n_points
    quartiles = np.quantile(finite, [0.25, 0.75])
    spread = min(finite.std(), (quartiles[1] - quartiles[0]) / 1.34) or finite.std()
    width = max(0.9 * spread * len(finite) ** -0.2 / step, 0.75)  # in points
    reach = int(np.ceil(4 * width))
    padded = np.histogram(finite, bins=n_points + 2 * reach, range=(low - reach * step, high + reach * step))[0]
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    smooth = np.convolve(padded, kernel, mode="valid")
    return np.asarray(smooth / smooth.max()) if smooth.max() > 0 else np.zeros(n_points)


def scatter_sample(groups: list[np.ndarray], *, n_points: int, seed: int) -> list[np.ndarray]:
    """Some rows of each group, about `n_points` in all, the same number of each that has as many: seeded."""
    generator = np.random.default_rng(seed)
    share = n_points // max(len(groups), 1)
    return [_drawn(rows, share, generator) for rows in groups]


def extremes(score: np.ndarray, rows: np.ndarray, n: int = 10) -> dict[str, np.ndarray]:
    """The n highest, n around the median and n lowest rows of a group, highest first; no row appears twice.

    A group of fewer than 3 n rows is shared out evenly; of fewer than 3, all are the highest. Ties keep corpus order.
    """
    known = rows[np.isfinite(score[rows])]
    order = known[np.argsort(-score[known], kind="stable")]
    share = min(n, len(order) // 3)
    if not share:
        return {"highest": order, "median": order[:0], "lowest": order[:0]}
    middle = (len(order) - share) // 2
    return {"highest": order[:share], "median": order[middle : middle + share], "lowest": order[len(order) - share :]}
