"""The predict job: fit on labelled rows, answer for all; again only where rows, labels or the classifier changed."""

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from jobs import predict
from jobs.parts.classifiers import read_labels
from jobs.predict import Config, main
from raypipe.classify.methods import method_class
from raypipe.models.fitted import open_fitted
from raypipe.storage.folder import Folder
from tests.jobs.committed import commit_vectors
from tests.run.deadly import DeadlyPredict
from tests.run.in_process import use_this_process
from tests.run.stages import fault, write_lines

KINDS = ("apples apples", "pears pears pears", "plums")


def text_of(row: int) -> str:
    return f"document number{row} of {KINDS[row % 3]}"


def write_labels(path: Path, rows: range, *, names: tuple[str, ...] = ("apple", "pear", "plum")) -> str:
    path.write_text("".join(json.dumps({"id": f"n{row}", "label": names[row % 3]}) + "\n" for row in rows))
    return str(path)


def write_corpus(folder: Path, *, changed: bool = False) -> None:
    for number in range(3):
        if changed and number != 1:
            continue
        texts = [text_of(row + changed) for row in range(20 * number, 20 * number + 20)]
        folder.mkdir(exist_ok=True)
        rows = [{"n": f"n{20 * number + at}", "text": text} for at, text in enumerate(texts)]
        (folder / f"part-{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if not changed:
        write_lines(folder / "part-9.jsonl", [""])


@pytest.fixture
def config(tmp_path: Path) -> Config:
    write_corpus(tmp_path / "corpus")
    commit_vectors(f"{tmp_path}/corpus", tmp_path / "run", id_column="n")
    return Config(
        corpus=(f"{tmp_path}/corpus",), id_column="n", output=f"{tmp_path}/run", columns=("embeddings.embedding",),
        labels=write_labels(tmp_path / "labels.jsonl", range(12)), max_workers=2,
    )  # fmt: skip


def stamps(config: Config) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in Path(f"{config.output}/classes").glob("*.parquet")}


def check_classes(config: Config) -> list[dict]:
    """Every row has the class that the stored classifier gives its vector."""
    model = open_fitted(method_class(config.classifier), Folder(f"{config.output}/classifier"))
    rows = []
    for path in sorted(Path(f"{config.output}/classes").glob("*.parquet")):
        [beside] = [one for one in Path(f"{config.output}/embeddings").glob("*.parquet")
                    if path.name.startswith(one.name.removesuffix(".parquet"))]  # fmt: skip
        found, vectors = pq.read_table(path), pq.read_table(beside)
        assert found["text_hash"].equals(vectors["text_hash"])
        for row, vector in zip(found.to_pylist(), vectors["embedding"].to_pylist(), strict=True):
            rows.append(row)
            if vector is None:
                assert (row["label"], row["reason"]) == (None, "empty")
                continue
            assert row["label"] == model.predict(np.array([vector]))[0]
            assert row["probability"] == np.float32(model.predict_proba(np.array([vector])).max())
    return rows


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"labels": None}, ValueError, "give either --labels or --fitted"),
        ({"fitted": "x"}, ValueError, "give either --labels or --fitted"),
        ({"labels": None, "fitted": "{root}/nowhere"}, FileNotFoundError, "holds no fitted estimator"),
        ({"labels": "{root}/nowhere.jsonl"}, FileNotFoundError, "nowhere.jsonl"),
        ({"columns": ("embeddings.emebdding",)}, KeyError, "did you mean 'embeddings.embedding'"),
        ({"columns": ("text",)}, ValueError, "columns are named STAGE.COLUMN, got 'text'"),
        ({"labels": None, "fitted": "x", "max_labelled": 9}, ValueError, "--max-labelled has no effect with --fitted"),
        ({"set": ("normalize=true",)}, ValueError, "NearestCentroid has no setting 'normalize'; .* is 'normalise'"),
        ({"labels": None, "fitted": "x", "set": ("normalise=true",)}, ValueError, "--set has no effect with --fitted"),
        ({"max_labelled": 0}, ValueError, "max_labelled must be at least 1, got 0"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(config, tmp_path, changes, error, said):
    given = {name: value.format(root=tmp_path) if isinstance(value, str) else value for name, value in changes.items()}
    with pytest.raises(error, match=said):
        main(replace(config, **given))
    assert sorted(os.listdir(config.output)) == ["embeddings"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (['{"id": "a", "label": 1}'], "of two labels at least, got 1 rows"),
        (['{"id": "a", "label": 1}', '{"label": 2}'], "row 1: a row with a label must have an id too"),
        (['{"id": "a", "label": 1}', '{"id": "a", "label": 2}'], "row 1: id 'a' has two labels"),
    ],
)
def test_wrong_labels_are_refused_with_their_row(tmp_path, lines, said):
    (tmp_path / "labels.jsonl").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=said):
        read_labels(f"{tmp_path}/labels.jsonl")


def test_a_label_has_one_name_however_it_is_written(tmp_path):
    lines = ['{"id": 1, "label": 2.0}', '{"id": "b", "label": " 2"}', '{"id": "c", "label": 0}', '{"id": "d"}']
    (tmp_path / "labels.jsonl").write_text("\n".join(lines))
    assert read_labels(f"{tmp_path}/labels.jsonl") == {"1": "2", "b": "2", "c": "0"}


def check_answers(config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str], once: str | None = None) -> None:
    """From the first start on over a change of the corpus and of the labels to a second use of what was fitted."""
    assert main(config) == 0
    assert once is None or os.listdir(once) == []  # a worker was killed
    said = capsys.readouterr().out
    assert "12 of 12 labelled rows are there" in said
    assert "60 of 61 rows have a class" in said
    rows = check_classes(config)
    assert [row["label"] for row in rows[:60]] == [("apple", "pear", "plum")[row % 3] for row in range(60)]
    assert ("familiarity" in rows[0]) == (config.classifier == "nearest-centroid")
    before = stamps(config)
    assert main(config) == 0
    assert stamps(config) == before
    write_corpus(tmp_path / "corpus", changed=True)
    with pytest.raises(ValueError, match=r"made before part-1\.jsonl changed"):
        main(config)
    commit_vectors(f"{tmp_path}/corpus", tmp_path / "run", id_column="n")
    assert main(config) == 0
    check_classes(config)
    redone = [name for name, stamp in stamps(config).items() if before.get(name) != stamp]
    assert redone
    assert all(name.startswith("part-1") for name in redone)  # the others are as they were
    between = stamps(config)
    write_labels(tmp_path / "labels.jsonl", range(12), names=("fruit", "fruit", "stone fruit"))
    assert main(config) == 0  # other labels, another classifier: all of it, without asking
    assert {row["label"] for row in check_classes(config)[:60]} == {"fruit", "stone fruit"}
    assert not between.items() & stamps(config).items()
    assert main(replace(config, labels=None, fitted=f"{config.output}/classifier", name="again")) == 0
    again = [pq.read_table(path) for path in sorted((tmp_path / "run/classes-again").glob("*.parquet"))]
    labels = [label for table in again for label in table["label"].to_pylist()]
    assert labels == [row["label"] for row in check_classes(config)]  # opened instead of fitted: the same answers


each_classifier = pytest.mark.parametrize("classifier", ["nearest-centroid", "logistic-regression"])


@each_classifier
def test_classes_are_right_and_redone_where_something_changed(config, tmp_path, monkeypatch, capsys, classifier):
    use_this_process(monkeypatch)
    check_answers(replace(config, classifier=classifier), tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
@each_classifier
def test_on_workers_too_of_which_one_is_killed(config, tmp_path, monkeypatch, capsys, classifier):
    once = fault(tmp_path, "kill-forward")
    monkeypatch.setattr(predict, "Predict", partial(DeadlyPredict, once=once))
    check_answers(replace(config, classifier=classifier), tmp_path, capsys, once)


def test_a_method_that_draws_is_fitted_alike_at_every_start(config, monkeypatch):
    use_this_process(monkeypatch)
    config = replace(config, classifier="rbf-prototypes", set=("n_epochs=2",))
    assert main(config) == 0
    before = stamps(config)
    assert main(config) == 0
    assert stamps(config) == before


def test_labels_of_other_rows_are_refused_with_what_to_look_at(config, tmp_path, monkeypatch):
    use_this_process(monkeypatch)
    (tmp_path / "labels.jsonl").write_text('{"id": "x", "label": 1}\n{"id": "n1", "label": 2}\n')
    with pytest.raises(ValueError, match="two labels with these columns, got 1 rows, all '2'; see that the ids"):
        main(config)
    assert not (tmp_path / "run/classes").exists()
