"""Rows that a selection may see by a condition on another stage, however that was cut."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.corpus.stages import Mismatch
from raypipe.select.selection import Selection
from raypipe.select.stage import select
from raypipe.settings.nested import built
from tests.select.conftest import corpus, document, read_arm, write_run

NOT_MARKED = "not marks.is_duplicate"


def write_stage(run: Path, paths: dict[str, list[dict[str, Any]]], *, cut: int, name: str = "marks") -> None:
    """A stage with files of `cut` rows each."""
    stage = run / name
    stage.mkdir()
    for path, rows in paths.items():
        for start in range(0, len(rows), cut):
            table = pa.Table.from_pylist(rows[start : start + cut])
            pq.write_table(table, stage / f"{path}-0123abcd-{start:015d}.parquet")
    (stage / "card.json").write_text(json.dumps({"status": "finished", "identity": {"a": 1}}))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Scores of two paths, one in two files, and marks of every fifth row."""
    files = corpus(sizes={"web": 450})
    run = Path(write_run(tmp_path / "run", files))
    scores = sorted((run / "scores").glob("*.parquet"))
    names = ["a-9876fedc-000000000000000", "a-9876fedc-000000000000700", "a-b-9876fedc-000000000000000"]
    assert len(scores) == 3
    for path, name in zip(scores, names, strict=True):
        path.rename(path.with_name(f"{name}.parquet"))
    marked = [
        [{"text_hash": row["text_hash"], "is_duplicate": number % 5 == 0} for number, row in enumerate(rows)]
        for rows in files
    ]
    write_stage(run, {"a": [*marked[0], *marked[1]], "a-b": marked[2]}, cut=110)
    return run


def hashes(rows: list[dict[str, Any]], **wanted: Any) -> set[int]:
    return {row["text_hash"] for row in rows if all(row[name] == value for name, value in wanted.items())}


def test_rows_that_arent_kept_weigh_nothing_in_any_arm(run: Path) -> None:
    before = select(str(run), built(Selection, share=1.0))["identity"]
    marks = pa.concat_tables([pq.read_table(path) for path in sorted((run / "marks").glob("*.parquet"))]).to_pylist()
    card = select(str(run), built(Selection, share=1.0, keep=NOT_MARKED))
    assert card["identity"] != before
    assert card["identity"]["keep"] == NOT_MARKED
    rows = read_arm(str(run), "selection").to_pylist()
    by_place = dict(zip([row["id"] for row in rows], marks, strict=True))
    weighing = [row for row in rows if row["weight"] > 0]
    assert len(weighing) > 200
    assert not any(by_place[row["id"]]["is_duplicate"] for row in weighing)
    again = select(str(run), built(Selection, share=1.0, keep=NOT_MARKED))
    assert again == card


def test_of_copies_the_one_that_is_kept_may_be_selected(tmp_path: Path) -> None:
    rows = [document(number, "web", np.random.default_rng(number)) for number in range(120)]
    rows[7] = rows[3] | {"id": "web:7"}
    run = Path(write_run(tmp_path / "run", [rows]))
    path = next((run / "scores").glob("*.parquet")).name.removesuffix(".parquet")
    marks = [{"text_hash": row["text_hash"], "is_duplicate": number == 3} for number, row in enumerate(rows)]
    (run / "marks").mkdir()
    pq.write_table(pa.Table.from_pylist(marks), run / f"marks/{path}.parquet")
    (run / "marks/card.json").write_text(json.dumps({"status": "finished", "identity": {}}))
    select(str(run), built(Selection, share=1.0, keep=NOT_MARKED, holdout=0.0))
    selected = {row["id"] for row in read_arm(str(run), "selection").to_pylist() if row["selected"]}
    assert "web:7" in selected
    assert "web:3" not in selected


def test_a_null_isnt_kept_and_several_stages_may_be_named(run: Path) -> None:
    rows = [pq.read_table(path).to_pylist() for path in sorted((run / "scores").glob("*.parquet"))]
    more = [
        [{"text_hash": row["text_hash"], "n": None if row["id"].endswith("1") else 3.0} for row in of] for of in rows
    ]
    write_stage(run, {"a": [*more[0], *more[1]], "a-b": more[2]}, cut=1000, name="more-of-it")
    select(str(run), built(Selection, share=1.0, keep=f'{NOT_MARKED} and "more-of-it".n > 2'))
    weighing = [row for row in read_arm(str(run), "selection").to_pylist() if row["weight"] > 0]
    assert weighing
    assert not any(row["id"].endswith("1") for row in weighing)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("not mark.is_duplicate", "no stage .* a column 'mark.is_duplicate'; did you mean 'marks.is_duplicate'"),
        ("not marks.is_duplicat", "no stage .* a column 'marks.is_duplicat'; did you mean 'marks.is_duplicate'"),
        ("not marks.is_duplicate +", "rule 'not marks.is_duplicate \\+' can't be used: .*syntax error"),
        ("marks.is_duplicate like 'a%'", "rule .* can't be used: "),
        ("1 = 1", "a rule must name a column, got '1 = 1'"),
    ],
)
def test_what_cant_be_evaluated_is_refused_before_anything_is_written(run: Path, condition: str, message: str) -> None:
    with pytest.raises((ValueError, KeyError, FileNotFoundError), match=message):
        select(str(run), built(Selection, keep=condition))
    assert not (run / "selection").exists()


def test_a_stage_of_other_rows_is_refused_by_name(run: Path) -> None:
    path = sorted((run / "marks").glob("*.parquet"))[1]
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    with pytest.raises(Mismatch, match="stage 'marks' must hold the rows of the scores, but has others of a,"):
        select(str(run), built(Selection, keep=NOT_MARKED))
    other = table.set_column(0, "text_hash", pa.array(range(len(table)), pa.int64()))
    pq.write_table(other, path)
    with pytest.raises(Mismatch, match="stage 'marks' must hold the rows of the scores, but has others of a,"):
        select(str(run), built(Selection, keep=NOT_MARKED))


def test_other_marks_make_the_selection_anew(run: Path) -> None:
    first = select(str(run), built(Selection, keep=NOT_MARKED))
    for path in (run / "marks").glob("*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.set_column(1, "is_duplicate", pa.array([False] * len(table))), path)
    second = select(str(run), built(Selection, keep=NOT_MARKED))
    assert first["counts"] != second["counts"]
