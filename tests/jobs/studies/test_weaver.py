"""The study of Weaver simulates what it says: the majority is counted right, and no rule beats the oracle."""

import numpy as np

from jobs.studies.weaver import NOISE, SELECT, STUDY, _agreement, _answers
from raypipe.storage.folder import Folder


def test_agreement_is_the_share_of_a_querys_answers_that_are_the_same() -> None:
    answers = np.array([0, 1, 0, 2, 2, 2])
    slow = [np.mean([one == other for other in answers[start : start + 3]])
            for start in (0, 3) for one in answers[start : start + 3]]  # fmt: skip
    np.testing.assert_allclose(_agreement(answers, 3), slow)


def test_verifiers_that_know_nothing_are_independent_of_the_truth() -> None:
    settings = {**STUDY.settings, **STUDY.arms[NOISE]}
    _, answers, correct, scores = _answers(settings, 0)
    assert np.array_equal(answers == 0, correct)
    gaps = scores[correct].mean(axis=0) - scores[~correct].mean(axis=0)
    assert (abs(gaps) < 4 * scores.std(axis=0) / np.sqrt(len(correct) / 16)).all()  # scores of a query go together


def test_no_rule_beats_the_oracle(tmp_path) -> None:
    settings = {**STUDY.shared(quick=True), **STUDY.arms[SELECT]}
    found = STUDY.trial(settings, 0, Folder(str(tmp_path)))
    rules = [found[name] for name in ("weaver", "majority", "best_single", "mean", "first")]
    assert max(rules) <= found["oracle"] < 1
