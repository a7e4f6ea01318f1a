"""What classifiers show of themselves, and how the report says it."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jobs import fit_classifier
from jobs.parts.shown import shown
from raypipe.classify.nearest_centroid import NearestCentroid
from raypipe.classify.rbf_prototypes import RBFPrototypes
from raypipe.classify.st_protopnet import STProtoPNet
from raypipe.classify.teen import TEEN
from raypipe.evaluate.cross_validation import KnownRows
from raypipe.fitting.inputs import input_for
from raypipe.report.panels.decisions import lines_of_teen, of_shown

NAMES = ("apple", "pear", "plum", "fig")


def rows_of(n: int = 120, k: int = 3) -> KnownRows:
    rng = np.random.default_rng(0)
    y = np.arange(n) % k
    X = np.eye(4)[y] * 4 + rng.normal(size=(n, 4))
    X[0] = np.eye(4)[1] * 4  # one row that no classifier gets right
    table = pa.table({"vector": pa.array(X.tolist(), pa.list_(pa.float64()))})
    return KnownRows(table, y, table.slice(0, 0), NAMES[:k])


def shown_of(estimator, rows: KnownRows, **settings) -> dict:
    takes = getattr(type(estimator), "takes", "vectors")
    feed = input_for(takes, rows.known, tuple(rows.known.column_names), n_dimensions=8)
    return shown(estimator, feed, rows, n_folds=4, seed=0, **settings)


def test_a_method_that_says_nothing_shows_nothing():
    assert shown_of(NearestCentroid(), rows_of()) == {}


def test_of_rbf_prototypes_each_decision_has_its_radius_and_each_class_its_quantiles():
    found = json.loads(json.dumps(shown_of(RBFPrototypes(n_epochs=20, random_state=0), rows_of())))
    assert all(one["radius"] >= 0 for one in found["decisions"])  # of the class that was answered
    assert {one["class"] for one in found["decisions"]} == set(NAMES[:3])
    assert len(found["decisions"]) == 6
    assert "component" in found["decisions"][0]["why"]
    radii = found["radii"]
    assert sum(of["n"] for of in radii["classes"].values()) == radii["all"]["n"] == 30
    for of in radii["classes"].values():
        assert of["quantiles"] == sorted(of["quantiles"])
        assert of["quantiles"][2] > 0  # most rows are right
    page = " ".join(map(str, of_shown(found)))
    assert "Certified radius for a row" in page
    assert "certified radius" in page.lower()
    assert "(begun as" in page


def test_wrong_decisions_come_before_right_ones_and_both_class_by_class():
    rows = rows_of()
    X = np.array(rows.known["vector"].to_pylist())
    X[2::12] = X[3::12]  # a quarter of the plums, which look like apples
    table = pa.table({"vector": pa.array(X.tolist(), pa.list_(pa.float64()))})
    rows = KnownRows(table, rows.y, rows.unknown, rows.names)
    found = shown_of(RBFPrototypes(n_epochs=20, random_state=0), rows)["decisions"]
    said = [(one["class"] == one["answer"], one["class"]) for one in found]
    assert said == sorted(said)
    assert (False, "plum") in said
    assert said[-1][0]


def test_of_sentences_a_decision_names_the_nearest_ones():
    texts = [
        f"{('apples are red', 'pears are green', 'plums are blue')[row % 3]}. Number {row % 7}." for row in range(48)
    ]
    table = pa.table({"text": texts})
    rows = KnownRows(table, np.arange(48) % 3, table.slice(0, 0), NAMES[:3])
    net = STProtoPNet(n_prototypes=1, hidden=8, n_dimensions=4, n_epochs=1, random_state=0)
    found = shown_of(net, rows)["decisions"]
    assert len(found) == 6
    for one in found:
        assert "of training row" in one["why"]
        assert one["row"].startswith(("apples", "pears", "plums"))
    page = str(of_shown({"decisions": found})[0])
    assert "because" in page
    assert "of training row" in page


def test_of_teen_the_grid_shows_what_held_out_base_classes_would_choose():
    found = shown_of(TEEN(alpha=0.5, tau=16.0), rows_of(k=4))["teen"]
    assert (found["shots"], found["base_classes"]) == (5, 4)
    harmonic = np.array(found["harmonic"])
    assert harmonic.shape == (6, 3)
    assert np.ptp(harmonic[0]) == 0  # without alpha no tau changes anything
    assert (harmonic > 0.5).all()
    [said] = lines_of_teen({"teen": found})
    assert said.startswith(
        "Fitted with alpha 0.500 and tau 16.0; with base classes treated as new ones of 5 rows, alpha"
    )
    assert "tau 64" in str(of_shown({"teen": found})[0])
    few = shown_of(TEEN(max_shots=30), rows_of(k=4))
    [said] = lines_of_teen(few)
    assert "0 classes have enough rows to choose them by, three are needed" in said


@pytest.mark.parametrize("method", ["rbf-prototypes"])
def test_the_report_of_a_fit_shows_decisions(tmp_path, method):
    table = rows_of().known
    rows = [{"vector": one, "label": NAMES[at % 3]} for at, one in enumerate(table["vector"].to_pylist())]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = fit_classifier.Config(
        rows=(f"{tmp_path}/rows.jsonl",), columns=("vector",), method=method, set=("n_epochs=5",), folds=3,
        output=f"{tmp_path}/run",
    )  # fmt: skip
    assert fit_classifier.main(config) == 0
    page = Path(f"{tmp_path}/run/report.html").read_text()
    assert "Decisions on rows that weren" in page
    assert "Certified radius for a row" in page
