import gzip
import json
from dataclasses import asdict

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.corpus import Corpus, plan_shards, read_shard, read_stream
from raypipe.report.numbers.sources import corpus_reader

TEXTS = [f"document {number} \u202e<b>" for number in range(50)]


def write(folder, kind):
    if kind == "parquet":
        pq.write_table(pa.table({"text": TEXTS}), folder / "a.parquet", row_group_size=10)
        return
    lines = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode()
    (folder / f"a.{kind}").write_bytes(gzip.compress(lines) if kind.endswith("gz") else lines)


def read_whole(corpus):
    """Every shard as scoring sees it: its JSON and its rows."""
    for shard in plan_shards(corpus, shard_bytes=400, part_rows=15, known={}).shards:
        if shard.cut == "part":
            for part, _, table in read_stream(corpus, shard, part_rows=15):
                yield json.loads(json.dumps(asdict(part))), table
        else:
            yield json.loads(json.dumps(asdict(shard))), read_shard(corpus, shard)


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "jsonl.gz"])
def test_texts_are_those_that_were_scored(tmp_path, kind):
    write(tmp_path, kind)
    corpus = Corpus((str(tmp_path),), where="text LIKE 'document%'")
    shards = list(read_whole(corpus))
    assert len(shards) > 1
    for shard, table in shards:
        rows = list(range(table.num_rows))[::-2]
        expected = [(table["text_hash"][row].as_py(), table["text"][row].as_py()) for row in rows]
        assert corpus_reader(corpus)(shard, rows) == expected


def test_a_row_without_a_text_has_none(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": ""}\nnonsense\n{"text": "here"}\n')
    corpus = Corpus((str(tmp_path),))
    ((shard, _),) = read_whole(corpus)
    found = corpus_reader(corpus)(shard, [1, 2])
    assert found[0] is None
    assert found[1][1] == "here"


def test_a_rewritten_source_is_unreadable(tmp_path):
    write(tmp_path, "jsonl")
    corpus = Corpus((str(tmp_path),))
    shard, _ = next(read_whole(corpus))
    (tmp_path / "a.jsonl").write_text('{"text": "another"}\n')
    with pytest.raises(OSError, match=r"a\.jsonl"):
        corpus_reader(corpus)(shard, [0])


def test_far_into_a_stream_is_left_out(tmp_path, monkeypatch):
    write(tmp_path, "jsonl.gz")
    corpus = Corpus((str(tmp_path),))
    *_, (shard, _) = read_whole(corpus)
    monkeypatch.setattr("raypipe.report.numbers.sources.MAX_STREAM_ROWS", 20)
    with pytest.raises(TimeoutError, match="too far in"):
        corpus_reader(corpus)(shard, [0])
