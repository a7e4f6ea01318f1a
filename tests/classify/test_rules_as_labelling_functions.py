"""Rules that are learnt from columns of a run label other rows as they stand, in the YAML of `label_corpus`."""

import numpy as np
import pyarrow as pa
import pytest
import yaml

from raypipe.classify.fold_se import FoldSE
from raypipe.classify.tsetlin import TsetlinMachine
from raypipe.label.functions.sql import Sql

NAMES = ["n_bytes", "scores.loss", "classes.label"]


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    """Cells [300, 3], and whether each is junk: short and hard, or of a class."""
    rng = np.random.default_rng(0)
    X = np.empty((300, 3), dtype=object)
    X[:, 0], X[:, 1] = rng.integers(10, 500, 300).astype(float), rng.normal(size=300)
    X[:, 2] = rng.choice(["recipe", "it's an advert", "news"], 300)
    X[rng.random(300) < 0.1, 1] = None
    is_hard = np.array([loss is not None and loss > 0.2 for loss in X[:, 1]])
    return X, (X[:, 0] < 200) & is_hard | (X[:, 2] == "it's an advert")


def table(X: np.ndarray) -> pa.Table:
    return pa.table(
        {
            "n_bytes": pa.array(X[:, 0].astype(float), pa.int64()),
            "scores.loss": pa.array(X[:, 1].tolist(), pa.float64()),
            "classes.label": pa.array(X[:, 2].tolist(), pa.string()),
        }
    )


def from_yaml(condition: str, vote: str) -> Sql:
    """A labelling function that has been written to a file and read again."""
    given = yaml.safe_load(yaml.safe_dump({"name": "learnt", "sql": condition, "vote": vote}))
    found = Sql(**given)
    found.check()
    return found


def test_what_fold_se_has_learnt_votes_where_it_would_predict(rows: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = rows
    model = FoldSE().fit(X[:200], np.where(y, "junk", "fine")[:200])
    function = from_yaml(model.condition("junk", NAMES), "junk")
    assert set(function.reads) <= set(NAMES)
    votes = function.says(table(X[200:])).to_pylist()
    assert votes == ["junk" if one == "junk" else None for one in model.predict(X[200:])]
    assert 10 < sum(vote is not None for vote in votes) < 90


def test_a_clause_of_a_tsetlin_machine_votes_where_it_holds(rows: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = rows
    X = np.nan_to_num(X[:, :2].astype(float), nan=-9.0)
    model = TsetlinMachine(n_clauses=20, n_epochs=4, random_state=0).fit(X, np.where(y, "junk", "fine"))
    found = [one for one in model.clauses(X, np.where(y, "junk", "fine"), NAMES[:2]) if one["side"] == "for"]
    assert len(found) > 3
    columns = table(np.column_stack([X.astype(object), np.full(300, "")]))
    for one in found:
        votes = from_yaml(one["sql"], str(one["class"])).says(columns).to_pylist()
        holds = np.array([vote == one["class"] for vote in votes])
        assert holds.mean() == pytest.approx(one["support"])
        assert (np.where(y, "junk", "fine")[holds] == one["class"]).mean() == pytest.approx(one["precision"])


def test_a_condition_that_is_learnt_is_false_where_a_score_is_missing() -> None:
    X = np.array([[10.0, -1.0], [10.0, 1.0]] * 20)
    y = np.array([0, 1] * 20)
    model = TsetlinMachine(n_clauses=4, n_epochs=4, random_state=0).fit(X, y)
    condition = next(one["sql"] for one in model.clauses(X, y, NAMES[:2]) if one["side"] == "for")
    empty = pa.table({"n_bytes": pa.nulls(1, pa.int64()), "scores.loss": pa.nulls(1, pa.float64())})
    assert from_yaml(condition, "1").says(empty).to_pylist() == [None]
