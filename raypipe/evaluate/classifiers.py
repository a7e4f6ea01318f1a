"""Classifiers on the same rows: accuracy, balanced accuracy, recall of each class, calibration, and unknown rows.

Of two classes, also how well rows are ordered by the second one's probability (AUC). Unknown rows, of no class that
was learned, are told by familiarity: AUROC and OSCR. Intervals are the percentile bootstrap's, rows drawn together for
all contenders, Wilson's for shares that no resample would change, DeLong's for the areas.
Source: C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equation 3 (expected calibration error, over
15 bins of equal width of the likeliest class's probability); B. Efron and R. Tibshirani, An Introduction to the
Bootstrap, 1993, section 13.3.
Cost: resamples x rows x (classes + bins) in products of matrices, 200 resamples at a time.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from raypipe.arrays.bootstrap import drawn_counts
from raypipe.arrays.intervals import wilson_interval
from raypipe.evaluate.auroc import auroc
from raypipe.evaluate.oscr import familiarity_threshold, oscr_estimate
from raypipe.evaluate.task_means import Estimate, estimate

Json = dict[str, Any]
N_BINS = 15
MEASURES = ("accuracy", "balanced_accuracy", "calibration_error")


@dataclass(frozen=True)
class ClassAnswers:
    """What a contender says of rows that it hasn't learned from."""

    label: np.ndarray
    """[n] int, a class each."""
    probability: np.ndarray
    """[n] of that class, in [0, 1]."""
    familiarity: np.ndarray
    """[n] higher is more."""
    of_unknown: np.ndarray
    """[u] familiarity of rows of no learned class; may be empty."""
    of_second: np.ndarray = field(default_factory=lambda: np.empty(0))
    """[n] probability of the second of two classes; empty where there are more, or it isn't known."""


def compare_classifiers(
    answers: Mapping[str, ClassAnswers], y: np.ndarray, classes: list[str], *, ours: str, n_resamples: int = 1000,
    seed: int = 0,
) -> Json:  # fmt: skip
    """Every measure of every contender for the true classes y [n] int, and how much better `ours` is than each other.

    A difference is `shown` where its interval excludes 0. AUC is there for two classes, AUROC and OSCR where there are
    unknown rows.

    Raises
    ------
    KeyError
        If `ours` isn't among the contenders.
    ValueError
        If there is no row, or a contender has another number of answers.
    """
    if ours not in answers:
        raise KeyError(f"the contenders {sorted(answers)} have no {ours!r} to compare with the others.")
    if not len(y) or any(len(one.label) != len(y) for one in answers.values()):
        raise ValueError(f"there must be rows, with an answer each from all, got {len(y)} rows.")
    tables = {name: _columns(one, y, len(classes)) for name, one in answers.items()}
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in answers}
    for counts in drawn_counts(len(y), n_resamples=n_resamples, seed=seed):
        for name, table in tables.items():
            drawn[name].append(_measures(counts @ table, len(classes)))
    resampled = {name: np.concatenate(of, axis=1) for name, of in drawn.items()}  # [measures, b]
    points = {name: _measures(table.sum(axis=0)[None], len(classes))[:, 0] for name, table in tables.items()}
    return {
        "ours": ours,
        "n": len(y),
        "n_unknown": len(answers[ours].of_unknown),
        "contenders": {name: _as_json(one, points[name], resampled[name], y, classes) for name, one in answers.items()},
        f"{ours} minus": {
            name: {
                measure: _difference(points[ours][at] - points[name][at], resampled[ours][at] - resampled[name][at])
                for at, measure in enumerate(MEASURES)
            }
            for name in answers
            if name != ours
        },
    }


def calibration_error(probability: np.ndarray, is_right: np.ndarray) -> float:
    """Expected calibration error of the likeliest class's probability [n] and whether it was right [n]; 0 is best.

    Raises
    ------
    ValueError
        If there is no row.
    """
    if not len(is_right):
        raise ValueError("calibration needs at least one row, got none.")
    answers = ClassAnswers(np.where(is_right, 0, 1), probability, probability, probability[:0])
    return float(_measures(_columns(answers, np.zeros(len(is_right), int), 2).sum(axis=0)[None], 2)[2, 0])


def _columns(answers: ClassAnswers, y: np.ndarray, k: int) -> np.ndarray:
    """What is summed over rows: rights of each class, rows of each class, right less probability in each bin."""
    is_right = answers.label == y
    of_class = np.eye(k)[y]
    bins = np.eye(N_BINS)[np.clip((answers.probability * N_BINS).astype(int), 0, N_BINS - 1)]
    return np.hstack([of_class * is_right[:, None], of_class, bins * (is_right - answers.probability)[:, None]])


def _measures(sums: np.ndarray, k: int) -> np.ndarray:
    """Accuracy, mean recall of the classes that are there, calibration error, of sums [b, 2 k + bins]: [3, b]."""
    right, rows, gaps = sums[:, :k], sums[:, k : 2 * k], sums[:, 2 * k :]
    n = rows.sum(axis=1)
    recall = np.divide(right, rows, out=np.zeros_like(right), where=rows > 0)
    balanced = recall.sum(axis=1) / (rows > 0).sum(axis=1)
    return np.stack([right.sum(axis=1) / n, balanced, np.abs(gaps).sum(axis=1) / n])


def _as_json(
    answers: ClassAnswers, point: np.ndarray, resampled: np.ndarray, y: np.ndarray, classes: list[str]
) -> Json:
    found: Json = {measure: asdict(_share(point[at], resampled[at], len(y))) for at, measure in enumerate(MEASURES)}
    is_right = answers.label == y
    found["recall"] = {name: _recall(is_right[y == at]) for at, name in enumerate(classes)}
    if len(classes) == 2 and len(answers.of_second):
        found["auc"] = asdict(_area(answers.of_second, y == 1))
    if len(answers.of_unknown):
        scores = np.concatenate([answers.familiarity, answers.of_unknown])
        area = auroc(scores, np.arange(len(scores)) < len(y))
        found["auroc"] = asdict(Estimate(area.auroc, *area.interval()))
        found["oscr"] = asdict(oscr_estimate(answers.familiarity, is_right, answers.of_unknown))
        threshold = familiarity_threshold(answers.familiarity)
        passed = _recall(answers.of_unknown >= threshold)
        found["threshold"] = {"familiarity": threshold, "known_kept": 0.95, "unknown_kept": passed}
    return found


def _area(score: np.ndarray, is_second: np.ndarray) -> Estimate:
    """With Wilson's interval over the rarer class where the classes don't overlap, of which DeLong's says nothing."""
    area = auroc(score, is_second)
    if area.error == 0 and area.auroc in (0, 1):
        return Estimate(area.auroc, *wilson_interval(area.auroc, min(area.n_members, area.n_others)))
    return Estimate(area.auroc, *area.interval())


def _recall(is_right: np.ndarray) -> Json:
    if not len(is_right):
        return {"n": 0}
    share = float(is_right.mean())
    return {"n": len(is_right), **asdict(Estimate(share, *wilson_interval(share, len(is_right))))}


def _share(point: float, resampled: np.ndarray, n: int) -> Estimate:
    """With Wilson's interval where all resamples are alike, which would say that nothing is uncertain."""
    if np.ptp(resampled) == 0 and 0 <= point <= 1:
        return Estimate(float(point), *wilson_interval(float(point), n))
    return estimate(float(point), resampled)


def _difference(point: float, resampled: np.ndarray) -> Json:
    found = estimate(float(point), resampled)
    return {**asdict(found), "shown": found.excludes_zero}
