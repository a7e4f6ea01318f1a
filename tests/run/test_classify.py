"""A fitted classifier as an Op: what it was fitted on, it is fed with."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raypipe.classify.label_reach import LabelReach
from raypipe.classify.logistic_regression import LogisticRegression
from raypipe.classify.nearest_centroid import NearestCentroid
from raypipe.contracts.parts import apply
from raypipe.fitting.calibration import tempered
from raypipe.fitting.table import ColumnVectors
from raypipe.fitting.words import WordCounts, WordVectors
from raypipe.models.fitted import open_fitted, save_fitted
from raypipe.run.classify import Classify
from raypipe.run.rows import through as as_committed
from raypipe.storage.folder import Folder

TEXTS = ["apples and plums", "pears", "wine and beer", "beer", "plums and pears", "red wine"]
Y = np.array(["fruit", "fruit", "drink", "drink", "fruit", "drink"])


class Explaining(NearestCentroid):
    """Counts words, and says which."""

    takes = "counts"

    def fit(self, X, y):
        return super().fit(X.toarray(), y)

    def _distances(self, X):
        return super()._distances(X.toarray())

    def explain(self, X, names):
        return [", ".join(names[at] for at in row.nonzero()[1]) for row in X]


def through(op: Classify, table: pa.Table) -> pa.Table:
    op.setup(n_threads=1)
    if "reason" not in table.column_names:
        table = table.append_column("reason", pa.nulls(len(table), pa.string()))
    return apply(op, table)


def test_texts_have_the_classes_that_the_estimator_gives_their_vectors(tmp_path: Path) -> None:
    table, folder = pa.table({"text": TEXTS}), Folder(str(tmp_path))
    feed = WordVectors(("words",), n_dimensions=4).fit(table.rename_columns(["words"]))
    X = feed.encode(table.rename_columns(["words"]))[0]
    save_fitted(LogisticRegression().fit(X, Y), folder, feed=feed)
    found = through(Classify(LogisticRegression, folder, ("text",)), table)
    model = open_fitted(LogisticRegression, folder)
    assert found["label"].to_pylist() == model.predict(X).tolist()
    np.testing.assert_allclose(found["probability"].to_numpy(), model.predict_proba(X).max(axis=1), rtol=1e-6)


def test_an_explanation_is_in_words_of_the_text(tmp_path: Path) -> None:
    table, folder = pa.table({"text": TEXTS}), Folder(str(tmp_path))
    feed = WordCounts(("text",)).fit(table)
    save_fitted(Explaining().fit(feed.encode(table)[0], Y), folder, feed=feed)
    op = Classify(Explaining, folder, ("text",))
    found = through(op, pa.table({"text": ["red beer", "cherry", None]}))
    assert op.adds.names == ["label", "probability", "familiarity", "explanation"]
    assert found["explanation"].to_pylist() == ["beer, red", "", None]
    assert found["label"].to_pylist()[0] == "drink"
    assert found["reason"].to_pylist() == [None, None, "no text"]


def test_a_label_beyond_the_classes_is_a_column_of_its_own(tmp_path: Path) -> None:
    table, folder = pa.table({"text": TEXTS}), Folder(str(tmp_path))
    feed = WordVectors(("text",), n_dimensions=4).fit(table)
    save_fitted(LogisticRegression(C=1e-6).fit(feed.encode(table)[0], Y), folder, feed=feed)
    op = Classify(LogisticRegression, folder, ("text",), reach=LabelReach((("fruit", "food"), ("drink", "food"))))
    found = through(op, pa.table({"text": ["red beer", None]}))
    assert op.adds.names == ["label", "probability", "label_beyond"]
    assert found["label_beyond"].to_pylist() == ["food", None]
    assert found["label"].to_pylist()[0] in ("fruit", "drink")
    plain = Classify(LogisticRegression, folder, ("text",)).identity()
    assert op.identity() == plain | {"reach": op.reach.identity()}
    with pytest.raises(ValueError, match="'drink' is in none"):
        Classify(LogisticRegression, folder, ("text",), reach=LabelReach((("fruit", "food"),))).identity()


def test_columns_of_a_stage_stand_for_those_of_the_labelled_rows(tmp_path: Path) -> None:
    folder, table = Folder(str(tmp_path)), pa.table({"size": [1.0, 2.0, 9.0, 8.0]})
    feed = ColumnVectors(("size",)).fit(table)
    save_fitted(NearestCentroid().fit(feed.encode(table)[0], ["s", "s", "l", "l"]), folder, feed=feed)
    found = through(Classify(NearestCentroid, folder, ("stage.n",)), pa.table({"stage.n": [0.0, None, 10.0]}))
    assert found["label"].to_pylist() == ["s", None, "l"]
    assert found["reason"].to_pylist() == [None, "no vector", None]


def test_a_folder_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    folder, table = Folder(str(tmp_path)), pa.table({"size": [1.0, 2.0]})
    feed = ColumnVectors(("size",)).fit(table)
    save_fitted(NearestCentroid().fit(feed.encode(table)[0], ["s", "l"]), folder, feed=feed)
    before = Classify(NearestCentroid, folder, ("a.b",)).identity()
    with pytest.raises(ValueError, match=r"must stand for the 1 that .* fitted on \(size\), got a.b, a.c"):
        Classify(NearestCentroid, folder, ("a.b", "a.c")).identity()
    with pytest.raises(ValueError, match="must hold a LogisticRegression, got a NearestCentroid"):
        Classify(LogisticRegression, folder, ("a.b",)).identity()
    save_fitted(NearestCentroid().fit(np.array([[0.0], [3.0]]), ["s", "l"]), folder, feed=feed)
    assert Classify(NearestCentroid, folder, ("a.b",)).identity() != before
    save_fitted(NearestCentroid().fit(np.array([[0.0], [3.0]]), ["s", "l"]), folder)
    with pytest.raises(ValueError, match="doesn't say how columns become its input; fit it by fit_classifier"):
        Classify(NearestCentroid, folder, ("a.b",)).identity()


def test_rows_of_other_labels_and_unfamiliar_ones_are_skipped_with_the_reason(tmp_path: Path) -> None:
    folder, table = Folder(str(tmp_path)), pa.table({"size": [1.0, 2.0, 9.0, 8.0]})
    feed = ColumnVectors(("size",)).fit(table)
    save_fitted(NearestCentroid().fit(feed.encode(table)[0], ["s", "s", "l", "l"]), folder, feed=feed)
    asked = pa.table({"a.n": [1.5, 9.0, 99.0, -50.0]})
    found = through(Classify(NearestCentroid, folder, ("a.n",), keep=("s",), min_familiarity=-10.0), asked)
    assert found["label"].to_pylist() == ["s", "l", "l", "s"]  # what they were taken for can be looked up
    assert found["reason"].to_pylist() == [None, "classified as l", "classified as l", "unfamiliar"]
    every = Classify(NearestCentroid, folder, ("a.n",))
    assert every.identity() != Classify(NearestCentroid, folder, ("a.n",), keep=("s",)).identity()
    assert every.identity() != Classify(NearestCentroid, folder, ("a.n",), min_familiarity=-10.0).identity()
    with pytest.raises(ValueError, match="keep must be labels of the classifier, got 'm'; it has l, s"):
        Classify(NearestCentroid, folder, ("a.n",), keep=("m",)).identity()
    save_fitted(LogisticRegression().fit(feed.encode(table)[0], ["s", "s", "l", "l"]), folder, feed=feed)
    with pytest.raises(ValueError, match="min_familiarity needs a classifier that knows it, got a LogisticRegression"):
        Classify(LogisticRegression, folder, ("a.n",), min_familiarity=0.0).identity()


def test_a_shard_of_which_nothing_is_kept_is_no_broken_one(tmp_path: Path) -> None:
    folder, table = Folder(str(tmp_path)), pa.table({"size": [1.0, 9.0]})
    feed = ColumnVectors(("size",)).fit(table)
    save_fitted(NearestCentroid().fit(feed.encode(table)[0], ["s", "l"]), folder, feed=feed)
    op = Classify(NearestCentroid, folder, ("a.n",), keep=("s",))
    op.setup(n_threads=1)
    asked = pa.table({"a.n": pa.array([9.0] * 200 + [None]), "reason": pa.nulls(201, pa.string())})
    found = as_committed(op, op.prepare(asked), report=lambda *_, **__: None).table
    assert found["reason"].to_pylist() == ["classified as l"] * 200 + ["no vector"]
    assert found["label"].to_pylist() == ["l"] * 200 + [None]


def test_good_labels_are_a_score_beside_the_size_of_each_row(tmp_path: Path) -> None:
    folder, table = Folder(str(tmp_path)), pa.table({"text": TEXTS})
    feed = WordVectors(("text",), n_dimensions=4).fit(table)
    model = LogisticRegression().fit(feed.encode(table)[0], Y)
    save_fitted(model, folder, feed=feed)
    op = Classify(LogisticRegression, folder, ("text",), good=("fruit",))
    corpus = pa.table({"text": ["plums, pears!", None, "beer"], "domain": ["a", "b", None], "n_bytes": [13, 0, 4]})
    found = through(op, corpus.append_column("reason", pa.array([None, "bad", None])))
    assert op.reads == ("text", "domain", "n_bytes")
    assert found["quality"][1].as_py() is None
    fruit = model.predict_proba(feed.encode(pa.table({"text": ["plums, pears!", "beer"]}))[0])[:, 1]
    np.testing.assert_allclose(found["quality"].drop_null().to_numpy(), fruit, rtol=1e-6)
    assert found["domain"].to_pylist() == ["a", "b", None]
    assert found["n_words"].to_pylist() == [4, None, 1]
    assert [(score.column, score.label) for score in op.scores] == [("quality", "probability of fruit")]
    plain = Classify(LogisticRegression, folder, ("text",))
    assert op.identity() == plain.identity() | {"good": ["fruit"]}
    for good, said in (
        (("fruits",), "good must be labels of the classifier, got 'fruits'"),
        (("fruit", "drink"), "got all of"),
    ):
        with pytest.raises(ValueError, match=said):
            Classify(LogisticRegression, folder, ("text",), good=good).identity()


def test_probabilities_are_at_the_folder_s_temperature(tmp_path: Path) -> None:
    folder, table = Folder(str(tmp_path)), pa.table({"text": TEXTS})
    feed = WordVectors(("text",), n_dimensions=4).fit(table)
    model = LogisticRegression().fit(feed.encode(table)[0], Y)
    save_fitted(model, folder, feed=feed, temperature=3.0)
    found = through(Classify(LogisticRegression, folder, ("text",)), table)
    wanted = tempered(model.predict_proba(feed.encode(table)[0]), 3.0).max(axis=1)
    np.testing.assert_allclose(found["probability"].to_numpy(), wanted, rtol=1e-6)
    about = json.loads(folder.read("estimator.json"))
    folder.write("estimator.json", json.dumps(about | {"temperature": 0}).encode())
    with pytest.raises(ValueError, match="temperature must be a number above 0, got 0"):
        Classify(LogisticRegression, folder, ("text",)).identity()
