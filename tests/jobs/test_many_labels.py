"""fit_classifier and classify_corpus on rows that have a list of labels each: judged, stored, applied, selected by."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from jobs import classify_corpus, fit_classifier
from jobs.parts.label_lists import are_lists, read_listed
from raypipe.corpus.where import Condition
from tests.jobs.committed import commit_vectors
from tests.run.in_process import use_this_process

WORDS = {"fruit": "apple pear plum", "drink": "wine beer water", "tool": "hammer saw nail", "animal": "cat dog cow"}


def row_of(at: int) -> dict:
    """Words of one or two topics, among others."""
    rng = np.random.default_rng(at)
    topics = sorted(rng.choice(list(WORDS), 1 + at % 2, replace=False).tolist())
    words = [word for topic in topics for word in rng.choice(WORDS[topic].split(), 4)]
    return {"id": f"n{at}", "text": " ".join([*words, "the", "of", f"row{at}"]), "label": topics}


def lines(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def config(tmp_path: Path) -> fit_classifier.Config:
    extra = [{"text": "nothing", "label": []}, {"text": "no label"}]
    rows = lines(tmp_path / "rows.jsonl", [*map(row_of, range(90)), *extra])
    return fit_classifier.Config(
        rows=(rows,), output=f"{tmp_path}/run", method="one-vs-all", dimensions=12, folds=3, set=("C=100",)
    )


def test_lists_of_labels_are_learned_judged_reported_and_said_of_a_corpus(config, tmp_path, monkeypatch, capsys):
    use_this_process(monkeypatch)
    assert fit_classifier.main(config) == 0
    found = json.loads(Path(f"{config.output}/classifier/evaluation.json").read_text())
    assert list(found["contenders"]) == ["one-vs-all", "commonest labels", "nearest name"]
    assert found["contenders"]["one-vs-all"]["micro_f1"]["mean"] > 0.8
    assert found["one-vs-all minus"]["commonest labels"]["micro_f1"]["shown"]
    assert found["labels"] == sorted(WORDS)
    assert found["left_out"] == {"an empty list of labels": 1, "no label": 1}
    said, card = capsys.readouterr().out, json.loads(Path(f"{config.output}/classifier/card.json").read_text())
    assert "90 rows of 4 labels, 1.5 a row, in 3 folds; 4 labels are rare" in said
    assert card["counts"] == {"rows": 90, "labels": 4, "left_out": found["left_out"]}
    assert len(card["identity"]["labels_sha256"]) == 64
    page = Path(f"{config.output}/report.html").read_text()
    assert "Labels by one-vs-all, %" in page
    assert "P@5 by propensity" in page
    about = json.loads(Path(f"{config.output}/classifier/estimator.json").read_text())
    assert about["threshold"] == found["threshold"]

    fresh = [row_of(at) for at in range(200, 260)]
    corpus = lines(tmp_path / "corpus.jsonl", [*fresh, {"text": ""}])
    asked = classify_corpus.Config(corpus=(corpus,), output=config.output)
    assert classify_corpus.main(asked) == 0
    [path] = Path(f"{config.output}/classes").glob("*.parquet")
    rows = pq.read_table(path).to_pylist()
    assert np.mean([set(row["labels"]) == set(own["label"]) for row, own in zip(rows, fresh, strict=False)]) > 0.5
    assert rows[-1]["labels"] is None
    for row in rows[:-1]:
        assert row["probabilities"] == sorted(row["probabilities"], reverse=True)
        assert all(one >= np.float32(found["threshold"]) for one in row["probabilities"])
        assert not row["labels"] or (row["label"], row["probability"]) == (row["labels"][0], row["probabilities"][0])
    keep = Condition("list_contains(labels, 'fruit') AND probabilities[1] > 0.5")
    verdicts = keep.of_table(pq.read_table(path), n_rows=len(rows))
    assert [one is None for one in verdicts] == [
        "fruit" in (row["labels"] or ()) and row["probabilities"][0] > 0.5 for row in rows
    ]
    before = json.loads(Path(f"{config.output}/classes/card.json").read_text())["identity"]
    assert classify_corpus.main(replace(asked, min_probability=0.99, keep=("fruit",), good=("tool",))) == 0
    fewer = pq.read_table(path).to_pylist()
    assert {row["reason"] for row in fewer} == {None, "none of its labels is to be kept", "empty"}
    assert sum(map(len, (row["labels"] or () for row in fewer))) < sum(map(len, (row["labels"] or () for row in rows)))
    assert json.loads(Path(f"{config.output}/classes/card.json").read_text())["identity"] != before


def test_category_queries_learn_lists_of_columns_of_stages(config, tmp_path, monkeypatch):
    use_this_process(monkeypatch)
    rows = [row_of(at) for at in range(40)]
    corpus = lines(tmp_path / "corpus.jsonl", rows)
    commit_vectors(corpus, config.output, id_column="id")
    labelled = lines(tmp_path / "few.jsonl", [*rows[:30], {"id": "elsewhere", "label": ["fruit"]}])
    own = replace(
        config, rows=(labelled,), corpus=(corpus,), id_column="id", columns=("embeddings.embedding",),
        method="category-queries", set=("n_steps=20", "n_kept=3"),
    )  # fmt: skip
    assert fit_classifier.main(own) == 0
    found = json.loads(Path(f"{config.output}/classifier/evaluation.json").read_text())
    assert (found["n"], found["left_out"]) == (30, {"not among the rows of the stages": 1})
    assert list(found["contenders"]) == ["category-queries", "one-vs-all", "commonest labels"]
    queries = found["contenders"]["category-queries"]
    assert queries["micro_recall"]["mean"] <= queries["reach"]["mean"] < 1  # of four labels a row keeps three
    assert classify_corpus.main(classify_corpus.Config(corpus=(corpus,), id_column="id", output=own.output)) == 0
    said = [row for path in sorted(Path(f"{own.output}/classes").glob("*.parquet"))
            for row in pq.read_table(path).to_pylist()]  # fmt: skip
    assert len(said) == 40
    assert "explanation" not in said[0]
    twice = lines(tmp_path / "twice.jsonl", [*rows[:30], rows[0]])
    with pytest.raises(ValueError, match="must have an id of its own, got 'n0'"):
        fit_classifier.main(replace(own, rows=(twice,)))


def test_lists_that_can_not_be_used_are_refused(config, tmp_path):
    for method in ("logistic-regression", "rcal", "teen"):
        with pytest.raises(ValueError, match=f"is a list, and method {method} takes one label a row; take category-q"):
            fit_classifier.main(replace(config, method=method, set=()))
    for given, flag in (({"unknown": "x"}, "unknown"), ({"calibrate": True}, "calibrate")):
        with pytest.raises(ValueError, match=f"--{flag} has no effect on rows with lists of labels"):
            fit_classifier.main(replace(config, **given))
    assert not Path(config.output).exists()
    one = lines(tmp_path / "one.jsonl", [{"text": "a", "label": "x"}, {"text": "b", "label": ["x", "y"]}])
    with pytest.raises(ValueError, match=r"one.jsonl, row 1: label must be one label, got a list of 2; rows that all"):
        fit_classifier.main(replace(config, rows=(one,)))


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (["a", "b", "a"], "row 1: label must name each label once, got 'a' twice"),
        ([2, "2"], "row 1: label must name each label once, got '2' twice"),
        (["a", None], "row 1: label must be a list of labels, got None in it"),
        ([["a"]], r"row 1: label must be a list of labels, got \['a'\] in it"),
        ("a", "row 1: label must be a list of labels, as that of the first labelled row, got 'a'"),
    ],
)
def test_a_wrong_list_is_refused_by_row(tmp_path, label, message):
    path = lines(tmp_path / "rows.jsonl", [{"text": "x", "label": ["a", "b"]}, {"text": "y", "label": label}])
    assert are_lists((path,), "label")
    with pytest.raises(ValueError, match=message):
        read_listed((path,), label_column="label", columns=("text",))


def test_files_without_two_labels_are_refused(tmp_path):
    path = lines(tmp_path / "rows.jsonl", [{"text": "x", "label": []}, {"text": "y", "label": ["a"]}])
    with pytest.raises(ValueError, match=r"of two labels at least, got 1 rows of \['a'\]; 1 lists are empty"):
        read_listed((path,), label_column="label", columns=("text",))
    with pytest.raises(KeyError, match="has a column 'tags'"):
        read_listed((path,), label_column="tags", columns=("text",))


def test_what_is_for_the_other_kind_of_classifier_is_refused(config, tmp_path, monkeypatch):
    use_this_process(monkeypatch)
    assert fit_classifier.main(replace(config, folds=2)) == 0
    corpus = lines(tmp_path / "corpus.jsonl", [row_of(300)])
    edges = lines(tmp_path / "edges.jsonl", [{"label": "fruit", "parent": "food"}])
    asked = classify_corpus.Config(corpus=(corpus,), output=config.output)
    with pytest.raises(ValueError, match="edges are for a classifier of one label a row"):
        classify_corpus.main(replace(asked, edges=edges))
    with pytest.raises(ValueError, match=r"min_probability must be from 0 to 1, got 1\.5"):
        classify_corpus.main(replace(asked, min_probability=1.5))
    with pytest.raises(ValueError, match="keep must be labels of the classifier, got 'plane'"):
        classify_corpus.main(replace(asked, keep=("plane",)))
    single = lines(tmp_path / "single.jsonl", [{**row_of(at), "label": row_of(at)["label"][0]} for at in range(60)])
    assert fit_classifier.main(replace(config, rows=(single,), folds=2)) == 0
    with pytest.raises(ValueError, match="min_probability is for a classifier of many labels a row"):
        classify_corpus.main(replace(asked, min_probability=0.5))
