"""The code that a report offers runs, and brings each weight to its document."""

import json
from dataclasses import asdict

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe import columns
from raypipe.corpus import Corpus, read_shard
from raypipe.corpus.plan import plan_shards
from raypipe.report.numbers.join import how_to_join
from raypipe.report.numbers.read import list_run
from raypipe.storage.folder import Folder

TEXTS = [f"document {number} isn't long" for number in range(12)]


def written(root, kind: str) -> str:
    """A corpus of two files in two folders; its URI."""
    for part in (0, 1):
        rows = [{"name": f"n{number}", "text": TEXTS[number]} for number in range(6 * part, 6 * part + 6)]
        path = root / f"it's {part}" / f"part.v{part}.{kind}"
        path.parent.mkdir(parents=True)
        if kind == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(root)


def scored(run: Folder, corpus: Corpus) -> dict[str, float]:
    """Scores and a selection of the corpus as jobs write them; the weight of each text."""
    weights = {}
    for shard in plan_shards(corpus, shard_bytes=1 << 20, part_rows=100).shards:
        table = read_shard(corpus, shard)
        weight = np.arange(len(weights), len(weights) + len(table), dtype=np.float32) % 3
        weights |= dict(zip(table[columns.TEXT].to_pylist(), weight.tolist(), strict=True))
        keys = {name: table[name] for name in (columns.ID, columns.TEXT_HASH)}
        scores = pa.table({**keys, "loss": weight}).replace_schema_metadata(
            {"raypipe.shard": json.dumps(asdict(shard))}
        )
        nothing = {"rank": weight, "split": ["train"] * len(weight)}
        for stage, rows in (("scores", scores), ("selection", pa.table({**keys, **nothing, "weight": weight}))):
            sink = pa.BufferOutputStream()
            pq.write_table(rows, sink)
            run.write(f"{stage}/{shard.key}.parquet", sink.getvalue())
    identity = {"text_column": "text", "id_column": corpus.id_column}
    run.write("scores/card.json", json.dumps({"identity": identity}).encode())
    return weights


def ran(code: str) -> pa.Table:
    known = {"duckdb": duckdb}
    exec(code.replace("duckdb.sql(", "found = duckdb.sql("), known)  # our own code
    return known["found"].to_arrow_table()


@pytest.mark.parametrize(("kind", "id_column", "name"), [
    ("parquet", None, ""), ("parquet", "name", ""), ("jsonl", "name", ""), ("parquet", None, "books="),
])  # fmt: skip
def test_documents_come_with_their_weights(tmp_path, kind, id_column, name):
    run = Folder(str(tmp_path / "my run"))
    weights = scored(run, Corpus(sources=(name + written(tmp_path / "data", kind),), id_column=id_column))
    _, (corpus, scores, export) = how_to_join(list_run(run))
    found = ran(corpus.code)
    assert dict(zip(found["text"].to_pylist(), found["weight"].to_pylist(), strict=True)) == {
        text: weight for text, weight in weights.items() if weight > 0
    }
    beside = ran(scores.code)
    assert beside["loss"].to_pylist() == beside["weight"].to_pylist()
    assert len(beside) == 12
    assert export.code == f"python -m jobs.select_corpus --run '{tmp_path}/my run' --corpus-format jsonl.zst"


def test_where_the_id_is_a_place_in_bytes_the_export_is_offered(tmp_path):
    run = Folder(str(tmp_path / "run"))
    scored(run, Corpus(sources=(written(tmp_path / "data", "jsonl"),)))
    said, snippets = how_to_join(list_run(run))
    assert [snippet.name for snippet in snippets] == ["DuckDB: weights beside scores", "raypipe: write the mix"]
    assert said.startswith("This joins it to the scores")
