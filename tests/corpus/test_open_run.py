import json

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import raypipe
from raypipe.corpus.stages import Mismatch


def write(run, stage, path, start, ids, **columns):
    """A committed file of a stage: rows of one shard."""
    (run / stage).mkdir(parents=True, exist_ok=True)
    keys = {"id": ids, "text_hash": pa.array([hash_of(one) for one in ids], pa.int64())}
    pq.write_table(pa.table({**keys, **columns}), run / stage / f"{path}-0123abcd-{start:015d}.parquet")


def hash_of(one):
    return sum(map(ord, one))


@pytest.fixture
def run(tmp_path):
    write(tmp_path, "scores", "a.jsonl", 0, ["a0", "a1"], influence=[0.1, 0.2], status=["scored", "scored"])
    write(tmp_path, "scores", "a.jsonl", 2, ["a2"], influence=pa.array([None], pa.float64()), status=["skipped"])
    write(tmp_path, "scores", "b.jsonl", 0, ["b0"], influence=[0.4], status=["scored"])
    write(tmp_path, "selection", "a.jsonl", 0, ["a0", "a1", "a2"], selected=[True, False, False])  # cut otherwise
    write(tmp_path, "selection", "b.jsonl", 0, ["b0"], selected=[True])
    (tmp_path / "corpus").mkdir()
    pq.write_table(pa.table({"text": ["the mix"]}), tmp_path / "corpus/part-0.parquet")  # other rows: not joined
    (tmp_path / "scores/card.json").write_text(json.dumps({"stage": "scores", "counts": {"rows": 4}}))
    (tmp_path / "run.json").write_text(json.dumps({"name": "mine", "status": "finished"}))
    return tmp_path


def test_stages_are_joined_by_position_in_the_order_of_the_corpus(run):
    opened = raypipe.open_run(str(run))
    assert opened.stages == ("scores", "selection")
    assert opened.recipe["name"] == "mine"
    assert opened.card("scores")["counts"] == {"rows": 4}
    table = opened.table("selection.selected", "scores.influence")
    assert table.column_names == ["id", "text_hash", "selection.selected", "scores.influence"]
    assert table["id"].to_pylist() == ["a0", "a1", "a2", "b0"]
    assert table["scores.influence"].to_pylist() == [0.1, 0.2, None, 0.4]
    assert table["selection.selected"].to_pylist() == [True, False, False, True]


def test_stages_are_asked_in_sql(run, monkeypatch):
    opened = raypipe.open_run(str(run))
    read = []
    whole = type(opened).table
    monkeypatch.setattr(type(opened), "table", lambda self, *columns: (read.append(columns), whole(self, *columns))[1])
    found = opened.sql("SELECT id, Scores.influence AS x FROM run WHERE selection.selected ORDER BY x DESC")
    assert found.to_pylist() == [{"id": "b0", "x": 0.4}, {"id": "a0", "x": 0.1}]
    assert read == [("scores.influence", "selection.selected")]
    assert opened.sql("SELECT count(*) AS n FROM run").to_pylist() == [{"n": 4}]
    assert len(read[1]) == 1
    assert opened.sql("SELECT * FROM run").column_names == ["id", "text_hash", "scores", "selection"]
    twice = "SELECT count(*) AS n FROM run AS a JOIN run AS b ON a.id = b.id WHERE a.scores.status = 'scored'"
    assert opened.sql(twice).to_pylist() == [{"n": 3}]
    with pytest.raises(duckdb.Error, match="influnce"):
        opened.sql("SELECT scores.influnce FROM run WHERE scores.influence > 0")
    write(run, "scores-min-k", "a.jsonl", 0, ["a0", "a1", "a2"], min_k=[1.0, 2.0, 3.0])
    write(run, "scores-min-k", "b.jsonl", 0, ["b0"], min_k=[4.0])
    own = raypipe.open_run(str(run)).sql('SELECT sum("scores-min-k".min_k) AS s FROM run WHERE selection.selected')
    assert own.to_pylist() == [{"s": 5.0}]


def test_all_columns_come_unless_some_are_named_and_files_one_by_one(run):
    opened = raypipe.open_run(str(run))
    named = ["scores.influence", "scores.status", "selection.selected"]
    assert opened.table().column_names == ["id", "text_hash", *named]
    assert [len(table) for table in opened.by_file(*named)] == [3, 1]


def test_rows_of_other_texts_or_none_stop_the_join(run):
    write(run, "selection", "b.jsonl", 0, ["bX"], selected=[True])
    with pytest.raises(Mismatch, match=r"'selection' has others of b\.jsonl"):
        raypipe.open_run(str(run)).table()
    (run / "selection/b.jsonl-0123abcd-000000000000000.parquet").unlink()
    with pytest.raises(Mismatch, match=r"'selection' has others of b\.jsonl"):
        raypipe.open_run(str(run)).table()


def test_what_is_not_there_is_named(run, tmp_path_factory):
    opened = raypipe.open_run(str(run))
    with pytest.raises(KeyError, match=r"no column 'scores.loss'; its columns are \['scores.influence'"):
        opened.table("scores.loss")
    with pytest.raises(KeyError, match=r"no stage 'votes'; its stages are \['scores', 'selection'\]"):
        opened.card("votes")
    with pytest.raises(ValueError, match="a run folder must hold"):
        raypipe.open_run(str(tmp_path_factory.mktemp("nothing")))


def test_a_run_without_stages_has_no_rows(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    assert raypipe.open_run(str(tmp_path)).table().num_rows == 0


def test_what_raypipe_offers_is_seen_before_it_is_loaded():
    assert {"embed", "open_run", "read", "score"} <= set(dir(raypipe))
