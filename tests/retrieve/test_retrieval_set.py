"""Test sets of files: what is read, what is left out and counted, what is refused."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.retrieve.ranking import NONE
from raypipe.retrieve.retrieval_set import read_retrieval_set
from tests.retrieve.folders import ANIMALS, write_set

PUBLISHED = Path(__file__).parents[3] / "shared/data"


def test_a_document_is_its_title_and_text_and_is_known_by_its_id(tmp_path: Path) -> None:
    found = read_retrieval_set(write_set(tmp_path))
    at = found.document_ids.index("d2")
    assert found.documents[at] == "Person 2 likes owls."
    assert found.relevance[found.query_ids.index("q2")] == {at: 1.0}
    assert found.left_out == {}
    assert found.gains(np.array([[at, NONE]] * 6))[found.query_ids.index("q2")].tolist() == [1.0, 0.0]
    assert found.judged().tolist() == [[1.0]] * 6


def test_the_order_of_files_changes_nothing(tmp_path: Path) -> None:
    corpus = [{"_id": f"d{at}", "text": one} for at, one in enumerate(ANIMALS)]
    one = read_retrieval_set(write_set(tmp_path / "a", corpus=corpus))
    other = read_retrieval_set(write_set(tmp_path / "b", corpus=corpus[::-1]))
    assert one.document_ids == other.document_ids != tuple(sorted(one.document_ids))
    assert one.sha256 == other.sha256


def test_what_cannot_be_judged_is_left_out_and_counted(tmp_path: Path) -> None:
    queries = [{"_id": "q0", "text": "cats"}, {"_id": "q1", "text": "  "}, {"_id": "q2", "text": "owls"}]
    qrels = [("q0", "d0", 1), ("q0", "gone", 1), ("nobody", "d1", 1), ("q1", "d1", 1), ("q2", "d2", 0)]
    found = read_retrieval_set(write_set(tmp_path, queries=queries, qrels=qrels))
    assert found.query_ids == ("q0",)
    assert found.left_out == {
        "judgement of an unknown query": 1, "judgement of an unknown document": 1, "query without text": 1,
        "query without a relevant document": 1,
    }  # fmt: skip


def test_a_row_that_cannot_be_read_is_counted(tmp_path: Path) -> None:
    folder = write_set(tmp_path)
    with (tmp_path / "queries.jsonl").open("a") as file:
        file.write("{broken\n")
    assert read_retrieval_set(folder).left_out == {"row of queries.jsonl: unparsable": 1}


def test_parquet_folders_and_json_judgements_are_read_alike(tmp_path: Path) -> None:
    lines = read_retrieval_set(write_set(tmp_path / "lines"))
    folder = tmp_path / "tables"
    (folder / "corpus").mkdir(parents=True)
    for name, to in (("corpus", "corpus/part-0.parquet"), ("queries", "queries.parquet")):
        rows = [json.loads(line) for line in (tmp_path / f"lines/{name}.jsonl").read_text().splitlines()]
        pq.write_table(pa.Table.from_pylist(rows), folder / to)
    qrels = [{"query-id": f"q{at}", "corpus-id": f"d{at}", "score": 1} for at in range(6)]
    (folder / "qrels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in qrels))
    assert read_retrieval_set(str(folder)).sha256 == lines.sha256


def test_a_split_is_taken_by_name_and_the_test_split_without_one(tmp_path: Path) -> None:
    folder = write_set(tmp_path)
    (tmp_path / "qrels/dev.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td1\t1\n")
    assert len(read_retrieval_set(folder).queries) == 6
    assert read_retrieval_set(folder, split="dev").query_ids == ("q0",)
    with pytest.raises(FileNotFoundError, match=r"must have qrels/devv.tsv.*the nearest is 'dev'"):
        read_retrieval_set(folder, split="devv")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"corpus": [{"_id": "d0", "text": "a"}, {"_id": "d0", "text": "b"}]},
            "row 1: an _id must come once, got 'd0'",
        ),
        ({"corpus": [{"text": "a"}]}, "row 0: must have an id as '_id', got None"),
        ({"corpus": [{"_id": "d0", "title": "a"}]}, "row 0: must have a text, got NoneType"),
        ({"queries": [{"_id": "q0", "text": ["a"]}]}, "row 0: must have a text, got list"),
        ({"qrels": [("q0", "d0", "much")]}, "row 0: must have a number as score, got 'much'"),
        ({"qrels": [("q0", "d0", "nan")]}, "finite score, got nan"),
        ({"qrels": [("q0", "", 1)]}, "must have an id as 'corpus-id', got ''"),
        ({"qrels": [("q9", "d0", 1)]}, "got none; left out: {'judgement of an unknown query': 1"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, changes, said: str) -> None:
    folder = write_set(tmp_path, **changes)
    with pytest.raises(ValueError) as refused:
        read_retrieval_set(folder)
    assert said in str(refused.value)


def test_missing_files_are_named(tmp_path: Path) -> None:
    folder = write_set(tmp_path)
    (tmp_path / "qrels/test.tsv").write_text("q0\td0\t1\n")
    with pytest.raises(ValueError, match="must begin with a line query-id, corpus-id, score"):
        read_retrieval_set(folder)
    (tmp_path / "qrels/test.tsv").unlink()
    with pytest.raises(FileNotFoundError, match=r"must have qrels/test.tsv, got \[\]"):
        read_retrieval_set(folder)
    (tmp_path / "corpus.jsonl").unlink()
    with pytest.raises(FileNotFoundError, match=r"must have one corpus.jsonl"):
        read_retrieval_set(folder)


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published sets aren't here")
def test_published_sets_are_read_whole() -> None:
    small = read_retrieval_set(str(PUBLISHED / "limit/limit-small"))
    assert (len(small.documents), len(small.queries), small.left_out) == (46, 1000, {})
    assert {len(of) for of in small.relevance} == {2}
    pubmed = read_retrieval_set(str(PUBLISHED / "retrieval_pubmedqa"))
    assert (len(pubmed.documents), len(pubmed.queries), pubmed.left_out) == (1000, 1000, {})
