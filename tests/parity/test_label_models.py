"""Label models beside snorkel's and crowd-kit's own; skips itself where they aren't.

`make parity` installs both without what they ask for beside: old versions of much that they don't need here.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from jobs.benchmark.oracles.label_side import main as ask
from raypipe.label.matrix_completion import MatrixCompletion
from tests.label.snorkel_votes import STORED, WRENCH, made_votes, wrench_votes

pytestmark = pytest.mark.parity
pytest.importorskip("snorkel")
CROWD_KIT = Path(__file__).parents[1] / "label/fixtures/crowd_kit.json"


def test_what_is_stored_is_what_they_say(tmp_path: Path) -> None:
    pytest.importorskip("crowdkit")
    votes, truth = made_votes()
    kept = json.loads(CROWD_KIT.read_text())
    of_kit = {"votes": kept["votes"], "n_classes": 3, "epochs": 1, "steps": kept["iterations"]}
    sets = {"made": {"votes": votes.tolist(), "n_classes": 2}, "crowd_kit": of_kit}
    truths = {"made": truth}
    for name, n_classes in WRENCH.items():
        if (found := wrench_votes(name)) is not None:
            sets[name], truths[name] = {"votes": found[0].tolist(), "n_classes": n_classes}, found[1]
    (tmp_path / "asked.json").write_text(json.dumps({"sets": sets}))
    ask(tmp_path / "asked.json", tmp_path / "answered.json")
    answered = json.loads((tmp_path / "answered.json").read_text())
    np.testing.assert_allclose(answered["sets"]["crowd_kit"]["crowd-kit"], kept["probabilities"], atol=1e-6)
    ours = MatrixCompletion().fit(votes).predict_proba(votes)
    assert abs(ours - answered["sets"]["made"]["snorkel"]).mean() < 0.01
    right = {
        name: round(float((np.argmax(answered["sets"][name]["snorkel"], axis=1) == of).mean()), 4)
        for name, of in truths.items()
    }
    stored = json.loads(STORED.read_text())
    if os.environ.get("STORE"):
        stored = {"versions": answered["versions"], "accuracy": stored["accuracy"] | right}
        STORED.write_text(json.dumps(stored, indent=1) + "\n")
    for name, accuracy in right.items():
        assert accuracy == pytest.approx(stored["accuracy"][name], abs=0.002)
