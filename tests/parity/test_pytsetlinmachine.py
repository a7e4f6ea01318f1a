"""The Tsetlin machine beside pyTsetlinMachine; skips itself where that isn't.

Both draw otherwise, so what one learns isn't what the other does: its clauses, read into ours, must tell every row as
it does, and both must be right about equally often.
"""

import json

import numpy as np
import pytest

from jobs.benchmark.oracles.tsetlin_side import main as ask_pytsetlinmachine
from raypipe.classify.bits import packed
from raypipe.classify.tsetlin import TsetlinMachine

pytestmark = pytest.mark.parity
pytest.importorskip("pyTsetlinMachine")
SETTINGS = {"n_clauses": 40, "T": 15, "s": 3.9, "n_epochs": 12}


def rows(n: int, seed: int, *, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Bits [n, 70], two of which tell the class but for a tenth of the rows."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 2, (n, 70))
    y = (X[:, 0] + 2 * X[:, 3]) % n_classes
    return X, np.where(rng.random(n) < 0.1, rng.integers(0, n_classes, n), y)


@pytest.fixture(scope="module", params=[2, 4])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    """Rows to tell and their classes, what pyTsetlinMachine has learnt, and ours of the same rows."""
    folder = tmp_path_factory.mktemp("asked")
    (X, y), (told, truth) = (rows(n, seed, n_classes=request.param) for n, seed in ((800, 0), (1000, 1)))
    asked = {"bits": X.tolist(), "y": y.tolist(), "told": told.tolist(), "settings": SETTINGS}
    (folder / "asked.json").write_text(json.dumps({"sets": {"one": asked}}))
    ask_pytsetlinmachine(folder / "asked.json", folder / "answered.json")
    theirs = json.loads((folder / "answered.json").read_text())["sets"]["one"]
    return told, truth, theirs, TsetlinMachine(**SETTINGS, random_state=0).fit(X, y)


def test_its_clauses_read_into_ours_tell_every_row_as_it_does(both: tuple) -> None:
    told, _, theirs, ours = both
    include = np.zeros((len(theirs["included"]), SETTINGS["n_clauses"], 140), bool)
    for of, clauses in enumerate(theirs["included"]):
        for clause, literals in enumerate(clauses):
            include[of, clause, literals] = True
    assert include.any(axis=2).mean() > 0.5
    ours.include_ = np.stack([packed(one) for one in include])
    votes = np.clip(ours.votes(told), -SETTINGS["T"], SETTINGS["T"])  # it clips before it compares
    assert votes.argmax(axis=1).tolist() == theirs["said"]


def test_both_are_right_about_equally_often(both: tuple) -> None:
    told, truth, theirs, ours = both
    of_theirs = np.mean(np.array(theirs["said"]) == truth)
    assert of_theirs > 0.7
    assert abs(ours.score(told, truth) - of_theirs) < 0.04
