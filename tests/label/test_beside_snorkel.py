"""Our label models beside the stored accuracies of snorkel's; tests/parity asks snorkel itself."""

import json

import numpy as np
import pytest

from raypipe.label.dawid_skene import DawidSkene
from raypipe.label.matrix_completion import MatrixCompletion
from raypipe.label.moment_matching import MomentMatching
from tests.label.snorkel_votes import STORED, WRENCH, made_votes, wrench_votes

THEIRS = json.loads(STORED.read_text())["accuracy"]


@pytest.mark.parametrize("kind", [MatrixCompletion, MomentMatching, DawidSkene])
def test_on_made_votes_we_are_within_a_point_of_snorkel(kind: type) -> None:
    votes, truth = made_votes()
    assert np.mean(kind().fit(votes).predict(votes) == truth) == pytest.approx(THEIRS["made"], abs=0.01)


@pytest.mark.parametrize(("name", "n_classes"), WRENCH.items())
def test_on_wrench_we_are_within_a_point_of_snorkel(name: str, n_classes: int) -> None:
    found = wrench_votes(name)
    if found is None:
        pytest.skip(f"{name} isn't here")
    votes, truth = found
    model = MatrixCompletion(n_classes=n_classes).fit(votes)
    assert np.mean(model.predict(votes) == truth) == pytest.approx(THEIRS[name], abs=0.01)


def test_on_wrench_semeval_moment_matching_is_within_a_point_of_snorkel_too() -> None:
    found = wrench_votes("wrench_semeval")
    if found is None:
        pytest.skip("wrench_semeval isn't here")
    votes, truth = found
    model = MomentMatching(n_classes=9).fit(votes)
    assert np.mean(model.predict(votes) == truth) == pytest.approx(THEIRS["wrench_semeval"], abs=0.01)
