"""fit_classifier and classify_corpus: labelled rows of any kind to a folder, a folder over a corpus."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import classify_corpus, fit_classifier
from jobs.parts.classifiers import seeded
from jobs.parts.labelled import read_labelled
from jobs.parts.labelling import read_functions
from raypipe.classify.methods import method_class
from raypipe.models.fitted import open_fitted
from raypipe.report import write_report
from raypipe.select.selection import Selection
from raypipe.select.stage import left_out_texts, select
from raypipe.settings.nested import built
from raypipe.storage.folder import Folder
from tests.jobs.committed import commit_vectors
from tests.run.in_process import use_this_process

KINDS = ("apples and more apples", "pears by the tree", "plums in a bowl")
NAMES = ("apple", "pear", "plum")


def text_of(row: int) -> str:
    return f"row{row} has {KINDS[row % 3]} of{row % 5}"


def write_rows(path: Path, *, n: int = 45, unknown: int = 9) -> str:
    rows = [{"id": f"n{row}", "text": text_of(row), "label": NAMES[row % 3]} for row in range(n)]
    rows += [{"id": f"u{row}", "text": f"the king{row} is dead{row}", "label": "oos"} for row in range(unknown)]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"id": "x", "text": "no label"}]))
    return str(path)


@pytest.fixture
def config(tmp_path: Path) -> fit_classifier.Config:
    rows = write_rows(tmp_path / "rows.jsonl")
    return fit_classifier.Config(
        rows=(rows,), output=f"{tmp_path}/run", unknown="oos", method="nearest-centroid", dimensions=3
    )


def evaluation(config: fit_classifier.Config) -> dict:
    return json.loads(Path(f"{config.output}/classifier/evaluation.json").read_text())


def test_texts_are_fitted_judged_beside_rivals_and_taken_over_a_corpus(config, tmp_path, monkeypatch, capsys):
    use_this_process(monkeypatch)
    assert fit_classifier.main(config) == 0
    found = evaluation(config)
    assert list(found["contenders"]) == ["nearest-centroid", "logistic-regression", "majority"]
    assert (found["n"], found["n_unknown"], found["left_out"]) == (45, 9, {"no label": 1})
    assert found["contenders"]["nearest-centroid"]["accuracy"]["mean"] == 1
    assert found["contenders"]["nearest-centroid"]["auroc"]["mean"] > 0.9
    assert found["contenders"]["majority"]["auroc"]["mean"] == 0.5
    assert found["nearest-centroid minus"]["majority"]["accuracy"]["shown"]
    assert set(found["contenders"]["nearest-centroid"]["recall"]) == set(NAMES)
    said = capsys.readouterr().out
    assert "45 rows in 5 folds, 9 of no class" in said
    assert "nearest-centroid: accuracy 1.000 (0.921 to 1.000), balanced accuracy" in said
    assert sorted(path.name for path in Path(f"{config.output}/classifier").iterdir()) == [
        "card.json", "estimator.json", "evaluation.json", "state.safetensors",
    ]  # fmt: skip
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in [text_of(100), "", text_of(101)]))
    asked = classify_corpus.Config(corpus=(str(corpus),), output=config.output)
    assert classify_corpus.main(asked) == 0
    [path] = Path(f"{config.output}/classes").glob("*.parquet")
    rows = pq.read_table(path).to_pylist()
    assert [row["label"] for row in rows] == [NAMES[100 % 3], None, NAMES[101 % 3]]
    assert rows[0]["familiarity"] is not None
    assert "explanation" not in rows[0]
    assert "2 of 3 rows have a class" in capsys.readouterr().out
    before = path.stat().st_mtime_ns
    assert classify_corpus.main(asked) == 0
    assert path.stat().st_mtime_ns == before
    assert classify_corpus.main(replace(asked, keep=(rows[0]["label"],))) == 0
    left_out = left_out_texts(Folder(config.output), "classes")  # what a selection with --leave-out classes never sees
    assert left_out.tolist() == [rows[2]["text_hash"]]


@pytest.mark.slow
def test_a_calibrated_classifier_s_score_is_selected_by_and_reported(config, tmp_path, monkeypatch, capsys):
    use_this_process(monkeypatch)
    rng = np.random.default_rng(0)
    words = {"good": "proof theorem lemma because the of a and", "bad": "buy cheap now click the of a and"}
    texts = [(label, " ".join(rng.choice(words[label].split(), 30))) for label in words for _ in range(40)]
    rows = [{"text": text, "label": label} for label, text in texts]
    own = replace(config, rows=(lines(tmp_path / "r.jsonl", rows),), unknown=None, method="ngram-linear",
                  calibrate=True)  # fmt: skip
    assert fit_classifier.main(own) == 0
    found, said = evaluation(own), capsys.readouterr().out
    assert found["contenders"]["ngram-linear"]["auc"]["mean"] > 0.95
    assert found["contenders"]["majority"]["auc"]["mean"] == 0.5
    assert "ngram-linear: accuracy" in said
    assert ", auc 1.000 (0.912 to 1.000)" in said
    assert f"temperature {found['temperature']:.3g}" in said
    about = json.loads(Path(f"{own.output}/classifier/estimator.json").read_text())
    assert (about["temperature"], about["input"]["name"]) == (found["temperature"], "ngrams")
    corpus = [{"text": f"{text} {at}", "domain": "web"} for at, (_, text) in enumerate(texts)] + [{"text": ""}]
    asked = classify_corpus.Config(
        corpus=(lines(tmp_path / "c.jsonl", corpus),), domain_column="domain", output=own.output, good=("good",)
    )
    assert classify_corpus.main(asked) == 0
    select(own.output, built(Selection, scores="classes", share=0.25, holdout=0.0, arms=("random",)))
    [path] = Path(f"{own.output}/selection").glob("*.parquet")
    chosen = np.flatnonzero(pq.read_table(path)["selected"].to_numpy(zero_copy_only=False))
    assert len(chosen) == 20
    assert chosen.max() < 40  # the good ones come first
    page = Path(write_report(Folder(own.output)).removeprefix("file://")).read_text()
    assert "Documents are ordered by quality, probability of good; the highest is the best." in page
    assert "ngram-linear" in page


def test_names_of_the_classes_are_learned_from_and_labels_without_a_row_are_answered(
    config, tmp_path, monkeypatch, capsys
):
    use_this_process(monkeypatch)
    own = replace(config, method="category-queries", set=("n_steps=1", "start=0.25"), unknown=None, dimensions=16)
    assert fit_classifier.main(own) == 0
    assert evaluation(own)["contenders"]["category-queries"]["accuracy"]["mean"] > 0.9
    edges, corpus = tmp_path / "edges.jsonl", tmp_path / "corpus.jsonl"
    pairs = [("apple", "pome"), ("pear", "pome"), ("pome", "fruit"), ("plum", "fruit"), ("oos", "fruit")]
    edges.write_text("".join(json.dumps({"label": a, "parent": b}) + "\n" for a, b in pairs))
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in [text_of(0), ""]))
    asked = classify_corpus.Config(corpus=(str(corpus),), output=config.output, edges=str(edges))
    assert classify_corpus.main(asked) == 0
    [path] = Path(f"{config.output}/classes").glob("*.parquet")
    rows = pq.read_table(path).to_pylist()
    assert rows[0]["label"] == "apple"
    assert [row["label_beyond"] for row in rows] == ["pome", None]  # after one step all labels are about as likely
    capsys.readouterr()
    said = replace(config, method="loki", set=("edges=" + ";".join(f"{a}>{b}" for a, b in pairs),))
    assert fit_classifier.main(replace(said, output=f"{tmp_path}/loki")) == 0
    assert "5 of 6 labels can be answered; next, collect rows of oos" in capsys.readouterr().out
    page = Path(f"{tmp_path}/loki/report.html").read_text()
    assert "5 of 6 labels can be answered; next, collect rows of oos." in page
    assert "Recall by class, %" in page
    assert 'aria-label="loki minus each other, in points"' in page
    edges.write_text(json.dumps({"label": "apple"}) + "\n")
    with pytest.raises(ValueError, match=r"row 0: an edge must have `label` and `parent`"):
        classify_corpus.main(asked)


def test_of_ss3_a_page_shows_the_words_that_spoke_in_colour(config, tmp_path, monkeypatch):
    use_this_process(monkeypatch)
    own = replace(config, method="ss3", unknown=None)
    assert fit_classifier.main(own) == 0
    page = Path(f"{own.output}/classifier/in_colour.html").read_text()
    assert page.count("<h2>") == 2 * 4  # two texts of each label, oos among them
    assert "<h2>apple; labelled apple</h2>" in page
    [apples, *_] = page.split("<h2>")[1:]
    assert '0.80)" title="1.000">apples</span>' in apples
    assert '0.00)" title="0.000">has</span>' in apples  # every class has it
    assert "default-src 'none'" in page
    corpus = [{"text": text_of(at)} for at in range(12)] + [{"text": ""}]
    for suffix in (".jsonl", ".jsonl.gz"):  # read as lines, and as a stream
        path = tmp_path / f"corpus{suffix}"
        content = "".join(json.dumps(row) + "\n" for row in corpus).encode()
        path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
        asked = classify_corpus.Config(corpus=(str(path),), output=f"{tmp_path}/run{suffix}")
        assert classify_corpus.main(replace(asked, fitted=f"{own.output}/classifier")) == 0
        page = Path(f"{asked.output}/classes_in_colour.html").read_text()
        assert "of the first 12 texts of the corpus" in page
        assert page.count("<h2>apple</h2>") == 2
        assert '0.80)" title="1.000">apples</span>' in page


@pytest.mark.parametrize(
    ("method", "settings", "least"), [("fold-se", (), 1.0), ("tsetlin", ("n_clauses=20", "n_epochs=3"), 0.5)]
)
def test_rules_on_columns_are_written_as_labelling_functions(config, tmp_path, method, settings, least):
    rng = np.random.default_rng(0)
    n_bytes, loss = rng.integers(10, 500, 200), rng.normal(size=200)
    labels = np.where((n_bytes < 300) & (loss > -0.3), "junk", "fine")
    pq.write_table(pa.table({"n_bytes": n_bytes, "loss": loss, "label": labels}), tmp_path / "rows.parquet")
    own = replace(config, rows=(f"{tmp_path}/rows.parquet",), columns=("n_bytes", "loss"), unknown=None, method=method)
    assert fit_classifier.main(replace(own, set=settings)) == 0
    path = f"{own.output}/classifier/functions.yaml"
    found = read_functions(path)
    assert set(found.classes) == {"junk", "fine"}
    table = pa.table({"n_bytes": n_bytes, "loss": loss})
    votes = np.array([function.says(table).to_pylist() for function in found.functions])
    is_vote = votes != None  # noqa: E711 - of each cell
    assert is_vote.any(axis=0).mean() >= least  # rules decide every row, clauses need not
    assert (votes == labels)[is_vote].mean() > 0.8
    assert Path(path).read_text().startswith("# ")


def test_mixed_tables_and_given_vectors_are_learned_from(config, tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 60)
    table = pa.table({
        "colour": [("red", "blue")[one] if rng.random() < 0.9 else None for one in y], "size": rng.normal(y, 1.0),
        "label": y, "vector": list(rng.normal(3 * y[:, None], 1, (60, 3))), "same": [1.0] * 60,
    })  # fmt: skip
    pq.write_table(table, tmp_path / "rows.parquet")
    for columns in (("colour", "size", "same"), ("vector",)):
        own = replace(
            config, rows=(f"{tmp_path}/rows.parquet",), columns=columns, unknown=None, method="logistic-regression",
            set=("C=0.5",),
        )  # fmt: skip
        assert fit_classifier.main(own) == 0
        assert evaluation(own)["contenders"]["logistic-regression"]["accuracy"]["mean"] > 0.85
        fitted = open_fitted(method_class("logistic-regression"), Folder(f"{own.output}/classifier"))
        assert fitted.get_params()["C"] == 0.5
    with pytest.raises(ValueError, match="fitted on vector; say which columns of stages stand for them: --columns"):
        classify_corpus.main(classify_corpus.Config(corpus=(f"{tmp_path}/rows.parquet",), output=config.output))


def test_columns_of_stages_are_learned_from_and_classified(config, tmp_path, monkeypatch):
    use_this_process(monkeypatch)
    corpus = write_rows(tmp_path / "corpus.jsonl", unknown=0)
    commit_vectors(corpus, config.output, id_column="id")
    own = replace(config, corpus=(corpus,), id_column="id", columns=("embeddings.embedding",), unknown=None)
    assert fit_classifier.main(own) == 0
    assert evaluation(own)["n"] == 45
    assert classify_corpus.main(classify_corpus.Config(corpus=(corpus,), id_column="id", output=own.output)) == 0
    rows = [row for path in sorted(Path(f"{own.output}/classes").glob("*.parquet"))
            for row in pq.read_table(path).to_pylist()]  # fmt: skip
    assert len(rows) == 46
    right = np.mean([row["label"] == NAMES[at % 3] for at, row in enumerate(rows[:45])])
    assert right == pytest.approx(evaluation(own)["contenders"]["nearest-centroid"]["accuracy"]["mean"], abs=0.25)


def test_rows_whose_label_rcal_takes_for_wrong_are_written_apart(config, tmp_path, monkeypatch):
    draw = np.random.default_rng(0)
    rows = [
        {"name": f"n{at}", "vector": (draw.normal(size=4) + 12 * (at % 2)).tolist(), "label": NAMES[at % 2]}
        for at in range(80)
    ]
    for at in (3, 10, 21, 40):
        rows[at]["label"] = NAMES[1 - at % 2]
    own = replace(
        config, rows=(lines(tmp_path / "vectors.jsonl", rows),), columns=("vector",), unknown=None, folds=2,
        method="rcal", set=("contamination=0.05",),
    )  # fmt: skip
    assert fit_classifier.main(own) == 0
    cleaned, left_out = apart(own)
    assert sorted([*cleaned, *left_out], key=str) == sorted(
        [{"vector": row["vector"], "label": row["label"]} for row in rows], key=str
    )
    assert [row["vector"] for row in left_out] == [rows[at]["vector"] for at in (3, 10, 21, 40)]
    use_this_process(monkeypatch)
    corpus = write_rows(tmp_path / "corpus.jsonl", unknown=0)
    commit_vectors(corpus, config.output, id_column="id")
    of_stage = replace(
        own, rows=config.rows, corpus=(corpus,), id_column="id", columns=("embeddings.embedding",),
        set=("contamination=0.2",),
    )  # fmt: skip
    assert fit_classifier.main(of_stage) == 0
    cleaned, left_out = apart(of_stage)
    assert len(left_out) == 9  # of three classes of 15, three each
    assert sorted((row["id"], row["text"], row["label"]) for row in [*cleaned, *left_out]) == sorted(
        (f"n{at}", text_of(at), NAMES[at % 3]) for at in range(45)
    )
    assert fit_classifier.main(replace(of_stage, method="nearest-centroid", set=())) == 0
    assert not list(Path(f"{config.output}/classifier").glob("*.jsonl"))  # the other method has left none out


def apart(config: fit_classifier.Config) -> list[list[dict]]:
    folder = Path(f"{config.output}/classifier")
    found = [(folder / f"{name}.jsonl").read_text().splitlines() for name in ("cleaned", "left_out")]
    return [[json.loads(line) for line in of] for of in found]


def test_rows_without_a_label_are_learned_from_by_methods_that_take_them(config, tmp_path, monkeypatch, capsys):
    use_this_process(monkeypatch)
    few = write_rows(tmp_path / "few.jsonl", n=15, unknown=0)  # and one without a label
    more = [{"id": f"m{row}", "text": text_of(row), "label": None} for row in range(100, 160)]
    own = replace(config, rows=(few, lines(tmp_path / "more.jsonl", more)), unknown=None, folds=2)
    fit = replace(own, method="shrinkmatch", set=("n_epochs=10",))
    assert fit_classifier.main(fit) == 0
    found = evaluation(fit)
    assert (found["n"], found["n_unlabelled"], found["left_out"]) == (15, 61, {})
    assert found["contenders"]["shrinkmatch"]["accuracy"]["mean"] > 0.6
    assert "shrinkmatch learns from 61 rows without a label too" in capsys.readouterr().out
    with pytest.raises(ValueError, match="calibrate fits on labelled rows alone, and ShrinkMatch learns from more"):
        fit_classifier.main(replace(fit, calibrate=True))
    alone = replace(own, output=f"{tmp_path}/alone")
    assert fit_classifier.main(alone) == 0
    assert evaluation(alone)["left_out"] == {"no label": 61}
    corpus = lines(tmp_path / "corpus.jsonl", [{"text": text_of(at)} for at in range(200, 212)])
    assert classify_corpus.main(classify_corpus.Config(corpus=(corpus,), output=fit.output)) == 0
    [path] = Path(f"{fit.output}/classes").glob("*.parquet")
    right = [row["label"] == NAMES[at % 3] for at, row in enumerate(pq.read_table(path).to_pylist(), start=200)]
    assert np.mean(right) > 0.6


def test_unlabelled_ids_of_a_stage_are_gathered_too(config, tmp_path, monkeypatch):
    use_this_process(monkeypatch)
    corpus = write_rows(tmp_path / "corpus.jsonl", unknown=0)
    commit_vectors(corpus, config.output, id_column="id")
    rows = [{"id": f"n{row}", "label": NAMES[row % 3] if row < 18 else None} for row in range(45)]
    own = replace(
        config, corpus=(corpus,), id_column="id", columns=("embeddings.embedding",), unknown=None, folds=2,
        rows=(lines(tmp_path / "rows.jsonl", rows),), method="shrinkmatch", set=("n_epochs=1",),
    )  # fmt: skip
    assert fit_classifier.main(own) == 0
    assert (evaluation(own)["n"], evaluation(own)["n_unlabelled"]) == (18, 27)


def test_texts_of_sentences_and_lists_of_vectors_are_learned_from_as_sets(config, tmp_path, monkeypatch):
    use_this_process(monkeypatch)
    own = replace(config, method="st-protopnet", set=("n_prototypes=2", "n_epochs=2"), folds=2)
    assert fit_classifier.main(own) == 0
    corpus = tmp_path / "corpus.jsonl"
    texts = ["Here it is. row4 has pears by the tree of4.", ""]
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    assert classify_corpus.main(classify_corpus.Config(corpus=(str(corpus),), output=own.output)) == 0
    [path] = Path(f"{own.output}/classes").glob("*.parquet")
    found, empty = pq.read_table(path).to_pylist()
    assert found["label"] == "pear"
    assert "'row4 has pears by the tree of4.' is " in found["explanation"]
    assert "(pear, " in found["explanation"]
    assert empty["label"] is None
    rng, y = np.random.default_rng(0), np.arange(40) % 2
    sets = [rng.normal([3.0 * of, 0], 0.1, (1 + at % 3, 2)).tolist() for at, of in enumerate(y)]
    rows = [{"parts": of, "label": f"c{label}"} for of, label in zip([*sets, []], [*y, 0], strict=True)]
    (tmp_path / "sets.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = replace(own, rows=(f"{tmp_path}/sets.jsonl",), columns=("parts",), unknown=None)
    assert fit_classifier.main(own) == 0
    judged = evaluation(own)
    assert judged["left_out"] == {"no set of vectors": 1}
    assert judged["contenders"]["st-protopnet"]["accuracy"]["mean"] > 0.9
    assert judged["contenders"]["logistic-regression"]["accuracy"]["mean"] > 0.9  # of the means


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"set": ("normalize=true",)}, ValueError, "NearestCentroid has no setting 'normalize'"),
        ({"columns": ("txt",)}, KeyError, "has a column 'txt'; they have id, label, text"),
        ({"label_column": "class"}, KeyError, "has a column 'class'"),
        ({"unknown": "none"}, ValueError, "unknown must be a label of the rows, got 'none'"),
        ({"folds": 1}, ValueError, "folds must be from 2 to the rows of the largest class, which has 15, got 1"),
        ({"columns": ("embeddings.v", "text")}, ValueError, "of the rows or of stages, not of both"),
        ({"columns": ("embeddings.v",)}, ValueError, "columns of stages need --corpus"),
        ({"corpus": ("c",)}, ValueError, "--corpus has no effect without columns of stages"),
        ({"rows": ("nowhere.jsonl",)}, FileNotFoundError, "nowhere.jsonl"),
        ({"calibrate": True, "soft_labels": "labels", "unknown": None}, ValueError, "calibrate needs labels"),
        ({"dimensions": 0}, ValueError, "dimensions must be at least 1, got 0"),
        ({"environment_column": "site"}, ValueError, "for a method that takes environments, got NearestCentroid"),
    ],
)
def test_wrong_settings_are_refused(config, changes, error, said):
    with pytest.raises(error, match=said):
        fit_classifier.main(replace(config, **changes))
    assert not Path(f"{config.output}/classifier/estimator.json").exists()


def test_a_method_that_draws_has_the_job_s_seed_unless_it_was_given_one() -> None:
    rcal, centroid = method_class("rcal"), method_class("nearest-centroid")
    assert seeded(rcal(), 3).get_params()["random_state"] == 3
    assert seeded(rcal(random_state=5), 3).get_params()["random_state"] == 5
    assert seeded(centroid(), 3).get_params() == centroid().get_params()


def lines(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_one_class_is_refused_and_a_class_of_one_row_is_warned_of(config, tmp_path, capsys):
    rows = [{"text": f"word{at} and", "label": "a"} for at in range(6)]
    with pytest.raises(ValueError, match=r"must be rows of two classes that can be used, got 6 of \['a'\]"):
        fit_classifier.main(replace(config, rows=(lines(tmp_path / "r.jsonl", rows),), unknown=None))
    rows.append({"text": "other words", "label": "b"})
    with pytest.raises(ValueError, match="each fold must leave rows of two classes"):
        fit_classifier.main(replace(config, rows=(lines(tmp_path / "r.jsonl", rows),), unknown=None))
    rows += [{"text": f"more{at} of it", "label": "c"} for at in range(6)]
    assert fit_classifier.main(replace(config, rows=(lines(tmp_path / "r.jsonl", rows),), unknown=None)) == 0
    assert "1 classes have one row, and so are never right in cross-validation: b" in capsys.readouterr().err


def test_labels_and_columns_of_mixed_types_have_one_name_or_are_refused(tmp_path):
    rows = [{"v": 1, "label": 1}, {"v": "x", "label": "1.0"}, {"v": None, "label": True}, {"v": 2.5, "label": 0}]
    found = read_labelled([lines(tmp_path / "a.jsonl", rows)], label_column="label", columns=["v"])
    assert found.labels == ["1", "1", "1", "0"]
    assert found.table["v"].to_pylist() == ["1", "x", None, "2.5"]
    for value, said in ([1.0, [2.0]], "vectors"), ([{"a": 1}], "objects"), ([["a"], [1.0]], "lists of numbers"):
        rows = [{"v": one, "label": "a"} for one in value]
        with pytest.raises(ValueError, match=said):
            read_labelled([lines(tmp_path / "b.jsonl", rows)], label_column="label", columns=["v"])


def test_rows_that_are_not_whole_are_left_out_and_counted(config, tmp_path):
    rng = np.random.default_rng(0)
    rows = [{"x": float(rng.normal(at % 2 * 9)), "label": at % 2} for at in range(20)]
    rows += [{"x": None, "label": 0}, {"x": float("nan"), "label": 1}]
    path = lines(tmp_path / "r.jsonl", rows)
    assert fit_classifier.main(replace(config, rows=(path,), columns=("x",), unknown=None)) == 0
    left_out = evaluation(config)["left_out"]
    assert left_out == {"no vector": 1, "a vector with numbers that aren't finite": 1}
