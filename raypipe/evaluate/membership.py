"""What scores tell of whether a model was trained on texts, always beside what the words alone tell.

Source: areas and TPR at 5 % FPR as W. Shi et al., arXiv 2310.16789; the blind baseline as D. Das et al., Blind
Baselines Beat Membership Inference Attacks, arXiv 2406.16201: a classifier of words that never asks the model.
Cost: the blind baseline's five fits of a linear model of word counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raypipe.arrays.intervals import Interval
from raypipe.arrays.word_counts import tf_idf_scores
from raypipe.evaluate.auroc import auroc, tpr_at_fpr

BLIND = "blind"
MAX_BLIND = 0.55
"""Above it members and others are of unlike text, and no score can be told from that."""


@dataclass(frozen=True)
class Told:
    """What one score tells."""

    auroc: float
    interval: Interval
    """95 %, over texts."""
    tpr_at_5_fpr: float
    """Share of the members found where at most 5 % of the others are taken for some."""


def told_by(scores: Mapping[str, np.ndarray], is_member: np.ndarray, texts: Sequence[str]) -> dict[str, Told]:
    """By each score [n], higher meaning member, and by words alone (`blind`), cross-validated.

    Raises
    ------
    ValueError
        If a score is NaN, there are fewer than five members or others, or a score is called `blind`.
    """
    if BLIND in scores:
        raise ValueError(f"a score can't be called {BLIND!r}, which is the baseline's name.")
    every = {**scores, BLIND: tf_idf_scores(texts, is_member)}
    found = {}
    for name, score in every.items():
        area = auroc(score, is_member)
        found[name] = Told(area.auroc, area.interval(), tpr_at_fpr(score, is_member, max_fpr=0.05))
    return found
