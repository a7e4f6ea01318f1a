"""What cleanlab finds of wrong labels on a long tail; skips itself where it isn't. STORE=1 keeps it for other tests."""

import json
import os
from importlib.metadata import version

import pytest

from tests.classify.noisy_tail import SEEDS, STORED, found_wrong, noisy_tail, probabilities, stored

pytestmark = pytest.mark.parity
pytest.importorskip("cleanlab")


def test_what_is_stored_is_what_cleanlab_finds() -> None:
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    found = {}
    for seed in SEEDS:
        X, given, wrong = noisy_tail(seed)
        P = probabilities(X, given)
        flagged = find_label_issues(given, P, filter_by="confident_learning", n_jobs=1)
        found[str(seed)] = found_wrong(flagged, 1 - get_label_quality_scores(given, P), wrong)
    if os.environ.get("STORE"):
        STORED.write_text(json.dumps({"versions": {"cleanlab": version("cleanlab")}, "seeds": found}) + "\n")
    for seed, figures in stored()["seeds"].items():
        assert found[seed] == pytest.approx(figures, abs=0.02)  # a row may fall on the other side of a bar
