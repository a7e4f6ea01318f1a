"""Stages of a run as one lazy table, whatever they are cut into."""

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import raypipe
from raypipe.corpus import lazy
from raypipe.corpus.stages import Mismatch

N = 23


def write(run, stage, start, stop, **columns):
    """A committed file of a stage: rows start to stop of one source file."""
    (run / stage).mkdir(parents=True, exist_ok=True)
    ids = [f"a{row}" for row in range(start, stop)]
    keys = {"id": ids, "text_hash": pa.array(range(start, stop), pa.int64())}
    cells = {name: [make(row) for row in range(start, stop)] for name, make in columns.items()}
    pq.write_table(pa.table({**keys, **cells}), run / stage / f"a.jsonl-0123abcd-{start:015d}.parquet")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(lazy, "BATCH_ROWS", 4)
    for start, stop in ((0, 10), (10, N)):
        write(tmp_path, "scores", start, stop, influence=lambda row: row / 10, status=lambda _: "scored")
    for start, stop in ((0, 7), (7, 19), (19, N)):  # cut otherwise
        write(tmp_path, "selection", start, stop, selected=lambda row: row % 2 == 0)
    write(tmp_path, "embeddings", 0, N, embedding=lambda row: [float(row), 0.0])
    return tmp_path


def test_stages_that_are_cut_in_other_ways_are_joined_a_few_rows_at_a_time(run):
    table = raypipe.read(str(run), "selection.selected", "embeddings.embedding", "scores")
    names = ["selection.selected", "embeddings.embedding", "scores.influence", "scores.status"]
    assert table.schema.names == ["id", "text_hash", *names]
    sizes = [len(batch) for batch in table.reader()]
    assert (sum(sizes), max(sizes)) == (N, 4)
    whole = table.to_table()
    assert whole["id"].to_pylist() == [f"a{row}" for row in range(N)]
    assert whole["scores.influence"].to_pylist() == [row / 10 for row in range(N)]
    assert whole["embeddings.embedding"].to_pylist() == [[float(row), 0.0] for row in range(N)]
    assert whole.equals(raypipe.open_run(str(run)).table(*names))
    assert pa.table(table).equals(whole)
    assert table.to_pandas()["selection.selected"].sum() == 12


def test_only_what_is_asked_for_is_read(run, monkeypatch):
    read = []
    of_file = pq.ParquetFile.iter_batches

    def noted(self, size, *, columns):
        read.append(columns[2:])
        return of_file(self, size, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", noted)
    table = raypipe.read(str(run))
    assert read == []
    assert len(table.select("scores.influence").head(3)) == 3
    assert read == [["influence"]]  # of the first file
    assert table.sql("SELECT count(*) AS n FROM run WHERE selection.selected").to_pylist() == [{"n": 12}]
    assert read[1:] == [["selected"]] * 3


def test_rows_are_filtered_and_asked_in_sql_as_often_as_the_query_likes(run):
    table = raypipe.read(str(run))
    kept = table.select("scores.influence").scanner(keep=ds.field("scores.influence") > 2.0).to_table()
    assert kept["id"].to_pylist() == ["a21", "a22"]
    best = "WITH best AS (FROM run WHERE scores.influence > 2)"
    twice = f"{best} SELECT a.id FROM best a JOIN best b ON a.id = b.id ORDER BY 1"
    assert table.sql(twice)["id"].to_pylist() == ["a21", "a22"]
    assert table.sql("SELECT * FROM run").column_names == ["id", "text_hash", "embeddings", "scores", "selection"]
    assert table.sql("SELECT id FROM run LIMIT 1").to_pylist() == [{"id": "a0"}]
    assert table.sql("SELECT count(*) AS n FROM run").to_pylist() == [{"n": N}]


@pytest.mark.parametrize("change", [lambda run: write(run, "selection", 19, N - 1, selected=bool),
                                    lambda run: write(run, "selection", 19, N + 1, selected=bool)])  # fmt: skip
def test_stages_of_other_rows_stop_the_stream(run, change):
    change(run)
    with pytest.raises(Mismatch, match=r"scores, selection must hold the same rows, but they differ in a\.jsonl"):
        raypipe.read(str(run), "scores.influence", "selection.selected").to_table()


def test_what_is_not_there_is_named(run):
    with pytest.raises(KeyError, match=r"no column or stage 'scores.loss'; its columns are \['embeddings.embedding'"):
        raypipe.read(str(run), "scores.loss")
    with pytest.raises(ValueError, match="a run folder must hold"):
        raypipe.read(str(run / "scores" / "nothing"))
