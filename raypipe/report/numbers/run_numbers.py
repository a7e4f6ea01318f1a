"""A run's numbers, gathered once: what the page, the terminal and the checks speak about."""

from dataclasses import dataclass, field

import numpy as np

from raypipe.report.numbers.gather import EXACT_ROWS, ScoreNumbers
from raypipe.report.numbers.measures import Correlation, by_domain, correlate, duplicate_fraction, medians
from raypipe.report.numbers.read import RunFiles, list_run, read_rows
from raypipe.storage.folder import Folder

MAX_DOMAINS = 24
"""Domains shown one by one, the largest; the others count in every total and in every check."""


@dataclass(frozen=True)
class Numbers:
    """A run in numbers. Where nothing is scored yet `rows.is_empty`, and so is what follows."""

    files: RunFiles
    rows: ScoreNumbers
    groups: tuple[np.ndarray, ...] = ()
    """Kept rows of each domain."""
    correlations: tuple[Correlation, ...] = ()
    rank_correlations: tuple[Correlation, ...] = ()
    """Of the rank that selection used, where it differs from the order of the score (`--adjust`)."""
    duplicates: float = 0.0
    median_score: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """Of each domain [d], in the score's own sign."""

    @property
    def shown(self) -> list[int]:
        """Domains in the order of the report: of the largest ones, the highest median score first."""
        if self.rows.is_empty:
            return []
        largest = np.argsort(-self.rows.counts["rows"], kind="stable")[:MAX_DOMAINS]
        key = np.nan_to_num(self.median_score[largest], nan=-np.inf)
        return [int(number) for number in largest[np.argsort(-key, kind="stable")]]


def gather_numbers(folder: Folder, *, exact_rows: int = EXACT_ROWS, seed: int = 0) -> Numbers:
    """Everything that a report says in numbers. Raises what `list_run` raises."""
    files = list_run(folder)
    rows = read_rows(files, exact_rows=exact_rows, seed=seed)
    groups = by_domain(rows.kept["domain"], len(rows.domains))
    score = rows.score
    return Numbers(
        files=files,
        rows=rows,
        groups=tuple(groups),
        correlations=tuple(correlate(score, rows.kept, groups, skip=rows.scored_by.column)),
        rank_correlations=tuple(_rank_correlations(rows, groups)),
        duplicates=duplicate_fraction(rows.kept["text_hash"]),
        median_score=medians(score, groups),
    )


def _rank_correlations(rows: ScoreNumbers, groups: list[np.ndarray]) -> list[Correlation]:
    rank = rows.kept["rank"].astype(np.float64)
    ranked = np.isfinite(rank)
    reordered = any(_differs(rank[group], rows.score[group]) for group in groups)
    return correlate(np.where(ranked, rank, np.nan), rows.kept, groups) if ranked.any() and reordered else []


def _differs(rank: np.ndarray, score: np.ndarray) -> bool:
    """Whether a rank isn't the order of the score: ties aside, some row with a higher rank has a lower score."""
    known = np.isfinite(rank) & np.isfinite(score)
    ordered = score[known][np.argsort(rank[known], kind="stable")]
    return bool((np.diff(ordered) < -1e-6 * np.abs(ordered[1:])).any())
