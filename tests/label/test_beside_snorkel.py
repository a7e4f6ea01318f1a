"""Our label models beside the stored accuracies of snorkel's; tests/parity asks snorkel itself."""

import json

import numpy as np
import pytest

from raypipe.label.dawid_skene import DawidSkene
from raypipe.label.moment_matching import MomentMatching
from tests.label.snorkel_votes import STORED, made_votes, wrench_votes

THEIRS = json.loads(STORED.read_text())["accuracy"]


@pytest.mark.parametrize("kind", [MomentMatching, DawidSkene])
def test_on_made_votes_we_are_within_a_point_of_snorkel(kind: type) -> None:
    votes, truth = made_votes()
    assert np.mean(kind().fit(votes).predict(votes) == truth) == pytest.approx(THEIRS["made"], abs=0.01)


@pytest.mark.xfail(strict=True, reason="moment matching is 2.5 points below snorkel's on these ten functions")
def test_on_wrench_youtube_we_are_within_a_point_of_snorkel() -> None:
    found = wrench_votes("wrench_youtube")
    if found is None:
        pytest.skip("wrench_youtube isn't here")
    votes, truth = found
    assert np.mean(MomentMatching().fit(votes).predict(votes) == truth) > THEIRS["wrench_youtube"] - 0.01


def test_on_wrench_semeval_we_are_within_a_point_of_snorkel() -> None:
    found = wrench_votes("wrench_semeval")
    if found is None:
        pytest.skip("wrench_semeval isn't here")
    votes, truth = found
    model = MomentMatching(n_classes=9).fit(votes)
    assert np.mean(model.predict(votes) == truth) == pytest.approx(THEIRS["wrench_semeval"], abs=0.01)
