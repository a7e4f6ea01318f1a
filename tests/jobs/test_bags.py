"""join_chunks, fit_bags and score_bags: a document's number to the scores of its chunks, and back beside it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from jobs import classify_corpus, fit_bags, fit_classifier, join_chunks, score_bags
from jobs.parts import bags
from raypipe.classify.weakstil import WeakSTIL
from raypipe.corpus.stages import Mismatch
from raypipe.models.fitted import open_fitted
from raypipe.storage.folder import Folder
from tests.jobs.committed import commit_chunks
from tests.run.in_process import use_this_process
from tests.run.vectors import vector

LINES = ("apples and apples are good", "pears and pears are poor  ")
N = 40


def lines_of(row: int) -> list[str]:
    """Two to nine lines, of which row % 5 quarters, about, are good."""
    n = 2 + row % 8
    good = round(n * (row % 5) / 4)
    return [LINES[at >= good] for at in range(n)]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A run of chunks, a line each, with their vectors; and the settings that all jobs here share."""
    use_this_process(monkeypatch)
    texts = ["\n".join(lines_of(row)) for row in range(N)]
    rows = [{"id": f"n{row}", "text": text} for row, text in enumerate([*texts, ""])]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    numbers = [{"id": f"n{row}", "good": np.mean([one == LINES[0] for one in lines_of(row)])} for row in range(N)]
    (tmp_path / "numbers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in numbers))
    commit_chunks(f"{tmp_path}/corpus.jsonl", tmp_path / "run", id_column="id", max_chars=len(LINES[0]) + 1)
    return {"corpus": (f"{tmp_path}/corpus.jsonl",), "id_column": "id", "output": f"{tmp_path}/run"}


def joined(run: dict[str, Any]) -> None:
    assert join_chunks.main(join_chunks.Config(**run, columns=("embeddings.embedding", "embeddings.number"))) == 0


def rows_of(run: dict[str, Any], stage: str) -> list[dict]:
    files = sorted(Path(f"{run['output']}/{stage}").glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def fitting(run: dict[str, Any], tmp_path: Path, **changes: Any) -> fit_bags.Config:
    settings = {"rows": (f"{tmp_path}/numbers.jsonl",), "number": "good", "column": "chunk_columns.embedding"}
    return fit_bags.Config(**{**run, **settings, "set": ("hidden=4", "max_iter=40"), **changes})


def test_lists_beside_documents_are_what_their_chunks_have_in_order(run):
    joined(run)
    found = {row["id"]: row for row in rows_of(run, "chunk_columns")}
    assert len(found) == N + 1
    for row in range(N):
        lines = lines_of(row)
        assert found[f"n{row}"]["n_chunks"] == len(lines)
        assert found[f"n{row}"]["embedding"] == [vector(line) for line in lines]
    assert (found[f"n{N}"]["embedding"], found[f"n{N}"]["reason"]) == (None, "empty")
    stamps = {path: path.stat().st_mtime_ns for path in Path(f"{run['output']}/chunk_columns").glob("*.parquet")}
    joined(run)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def test_numbers_of_documents_become_scores_of_chunks_and_come_back_beside_documents(run, tmp_path, capsys):
    joined(run)
    assert fit_bags.main(fitting(run, tmp_path)) == 0
    found = json.loads(Path(f"{run['output']}/bag_scorer/evaluation.json").read_text())
    ours, shuffled = (found["contenders"][name]["r2"]["mean"] for name in ("weakstil", "shuffled numbers"))
    assert ours > 0.9 > 0.3 > shuffled
    assert -0.3 < found["contenders"]["mean of the others"]["r2"]["mean"] <= 0  # the floor of R^2
    assert (found["n_bags"], found["sizes"], found["left_out"]) == (N, {"smallest": 2, "largest": 9}, 0)
    assert "40 bags of 2 to 9 instances in 5 folds" in capsys.readouterr().out
    assert "R^2" in Path(f"{run['output']}/report.html").read_text()
    asked = score_bags.Config(**run, column="chunk_columns.embedding")
    assert score_bags.main(asked) == 0
    assert f"{N} of {N + 1} rows have a score" in capsys.readouterr().out
    documents = {row["id"]: row for row in rows_of(run, "bag_scores")}
    for row in range(N):
        of, is_good = documents[f"n{row}"], [line == LINES[0] for line in lines_of(row)]
        assert of["score"] == pytest.approx(np.mean(of["scores"]), abs=1e-5)
        assert [score > 0.5 for score in of["scores"]] == is_good
        assert (of["lowest"], of["highest"]) == (min(of["scores"]), max(of["scores"]))
        assert of["scores"][of["highest_at"]] == of["highest"]
    assert documents[f"n{N}"]["scores"] is None
    of_chunks = {**run, "corpus": (f"{run['output']}/chunks/*.parquet",)}
    assert score_bags.main(score_bags.Config(**of_chunks, column="embeddings.embedding", name="of_chunks")) == 0
    chunks = rows_of(run, "bag_scores-of_chunks")
    assert [row["score"] for row in chunks if row["id"].startswith("n7#")] == documents["n7"]["scores"]


def test_the_penalty_is_the_one_that_foretells_held_out_bags_best():
    rng = np.random.default_rng(0)
    vectors = [rng.normal(size=(1 + at % 4, 60)) for at in range(60)]  # as many numbers as bags
    y = np.array([bag[:, 0].mean() for bag in vectors]) + 0.3 * rng.normal(size=60)
    given = bags.Bags(vectors, y, 0, (1, 4))
    model = WeakSTIL(hidden=4, max_iter=60, random_state=0)
    chosen, weak = (
        bags.evaluate(model, given, alphas=alphas, folds=3)["contenders"]["weakstil"]["r2"]["mean"]
        for alphas in ((1e-4, 0.1), (1e-4,))
    )
    assert chosen > weak + 0.05
    assert bags.with_best_alpha(model, given, y, np.arange(60), alphas=(1e-4, 0.1), seed=0).alpha == 0.1
    assert bags.with_best_alpha(model, given, y, np.arange(60), alphas=(), seed=0).alpha == model.alpha


def test_a_set_of_chunks_is_classified_by_the_chunks_that_it_is_like(run, tmp_path):
    joined(run)
    labels = [{"id": f"n{row}", "label": "good" if row % 5 > 2 else "poor"} for row in range(N)]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in labels))
    config = fit_classifier.Config(
        **run, rows=(f"{tmp_path}/labels.jsonl",), columns=("chunk_columns.embedding",), method="st-protopnet",
        set=("n_epochs=1", "hidden=4", "n_dimensions=4", "n_prototypes=2"), folds=2,
    )  # fmt: skip
    assert fit_classifier.main(config) == 0
    assert classify_corpus.main(classify_corpus.Config(**run)) == 0
    found = rows_of(run, "classes")
    assert [row["label"] for row in found if row["id"] in ("n4", "n5")] == ["good", "poor"]
    assert "of training row" in found[4]["explanation"]


def test_bags_stand_in_files_too_and_of_large_ones_a_few_instances_are_drawn(run, tmp_path):
    rng = np.random.default_rng(0)
    sizes = [3, 900, *rng.integers(2, 9, 30)]
    drawn = [rng.normal([at % 3, 0], size=(n, 2)).round(3) for at, n in enumerate(sizes)]
    rows = [{"share": float(at % 3), "parts": bag.tolist()} for at, bag in enumerate(drawn)]
    (tmp_path / "bags.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"parts": [[1, 2]]}]))
    config = fit_bags.Config(
        rows=(f"{tmp_path}/bags.jsonl",), number="share", column="parts", output=f"{tmp_path}/other",
        set=("hidden=2", "max_instances=5", "max_iter=30"),
    )  # fmt: skip
    assert fit_bags.main(config) == 0
    found = json.loads(Path(f"{tmp_path}/other/bag_scorer/evaluation.json").read_text())
    assert (found["n_bags"], found["sizes"]) == (32, {"smallest": 2, "largest": 900})
    model = open_fitted(WeakSTIL, Folder(f"{tmp_path}/other/bag_scorer"))
    assert (model.n_bags_, model.max_instances) == (32, 5)


@pytest.mark.parametrize(
    ("lines", "changes", "error", "said"),
    [
        (['{"id": "n0", "good": 1}', '{"id": "n0", "good": 2}'], {}, ValueError, "id 'n0' has two numbers, 1.0 and 2"),
        (['{"id": "n0", "good": "high"}'], {}, ValueError, "row 0: good must be a finite number, got 'high'"),
        (['{"id": "n0", "good": NaN}'], {}, ValueError, "good must be a finite number, got nan"),
        (['{"good": 1}'], {}, ValueError, "row 0: a row with a number must have an id too"),
        (['{"id": "n0", "good": 1}'], {}, ValueError, "must hold three rows with 'good' at least, got 1"),
        (None, {"number": "god"}, ValueError, "must hold three rows with 'god' at least, got 0"),
        (None, {"column": "chunk_columns.embeding"}, KeyError, "did you mean 'chunk_columns.embedding'"),
        (None, {"column": "chunk_columns.number"}, ValueError, "must be of lists of vectors, got large_list<"),
        (None, {"set": ("hidden=0",)}, ValueError, "hidden, max_instances and max_iter must be at least 1"),
        (None, {"folds": 50}, ValueError, "folds must be between 2 and the 40 bags, got 50"),
        (None, {"corpus": (), "id_column": None}, ValueError, "needs --corpus, which the stage is of"),
    ],
)
def test_wrong_numbers_and_settings_are_refused(run, tmp_path, lines, changes, error, said):
    joined(run)
    if lines is not None:
        (tmp_path / "numbers.jsonl").write_text("\n".join(lines))
    with pytest.raises(error, match=said):
        fit_bags.main(fitting(run, tmp_path, **changes))


def test_what_does_not_belong_together_is_refused(run, tmp_path):
    config = join_chunks.Config(**run, columns=("embeddings.number",))
    with pytest.raises(KeyError, match="has no column 'numbr'; it has id, text_hash"):
        join_chunks.main(replace(config, columns=("embeddings.numbr",)))
    with pytest.raises(ValueError, match="chunks must be a stage of chunk_corpus, 'embeddings' is of kind None"):
        join_chunks.main(replace(config, chunks="embeddings"))
    with pytest.raises(ValueError, match=r"STAGE\.COLUMN with different names"):
        join_chunks.main(replace(config, columns=("embeddings.number", "embeddings.number")))
    with pytest.raises(FileNotFoundError, match="holds no fitted estimator"):
        score_bags.main(score_bags.Config(**run, column="embeddings.embedding"))
    path = Path(f"{tmp_path}/corpus.jsonl")
    path.write_text(path.read_text().replace("apples and apples", "apples but apples"))
    with pytest.raises(Mismatch, match="give the command of chunk_corpus again"):
        join_chunks.main(config)
