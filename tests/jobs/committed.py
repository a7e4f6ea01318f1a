"""A finished stage of vectors as a run has it, committed without workers."""

import json
from pathlib import Path

import pyarrow as pa

from raypipe import columns
from raypipe.corpus import Corpus, plan_shards, save
from raypipe.rewrite.chunks import Chunks
from raypipe.run.commit import commit, file_name
from raypipe.run.inputs import INPUTS, Sizes
from raypipe.run.rewrite import RewriteOp
from raypipe.run.rows import ShardResult, through
from raypipe.runs.card import FORMAT, identity_hash
from raypipe.storage.folder import Folder
from tests.corpus.reading import tables_of
from tests.run.vectors import vector

SIZES = Sizes(shard_bytes=400, part_rows=5)
IDENTITY = {"op": "vectors", "shard_bytes": SIZES.shard_bytes, "part_rows": SIZES.part_rows}


def commit_chunks(corpus: str, run: str | Path, *, id_column: str | None = None, max_chars: int = 24) -> None:
    """RUN/chunks of each text, and RUN/embeddings of the chunks as `commit_vectors` makes them."""
    source, op = Corpus((corpus,), id_column=id_column), RewriteOp(Chunks(max_chars))
    folder = Folder(str(run)) / "chunks"
    plan = plan_shards(source, shard_bytes=SIZES.shard_bytes, part_rows=SIZES.part_rows)
    for shard in plan.shards:
        tables = tables_of(source, shard, part_rows=SIZES.part_rows)
        for at, (part, table) in enumerate(tables):
            result = through(op, op.prepare(table), report=lambda *_, **__: None)
            name = file_name(part, is_last=at == len(tables) - 1)
            commit(folder, name, shard=part, source=table, result=result, identity=identity_hash(IDENTITY))
    save(plan.known, folder, INPUTS)
    card = {"stage": "chunks", "kind": "rewrite", "status": "finished", "format": FORMAT, "identity": IDENTITY}
    folder.write("card.json", json.dumps(card).encode())
    commit_vectors(f"{folder.uri}/*.parquet", run, id_column="id")


def commit_vectors(corpus: str, run: str | Path, stage: str = "embeddings", *, id_column: str | None = None) -> None:
    """RUN/STAGE with `embedding` and `number` of each text; empty texts are skipped rows; what is there stays."""
    source, folder = Corpus((corpus,), id_column=id_column), Folder(str(run)) / stage
    plan = plan_shards(source, shard_bytes=SIZES.shard_bytes, part_rows=SIZES.part_rows)
    names: set[str] = set()
    for shard in plan.shards:
        tables = tables_of(source, shard, part_rows=SIZES.part_rows)
        for at, (part, table) in enumerate(tables):
            texts = table["text"].to_pylist()
            rows = [vector(text) if text else None for text in texts]
            found = pa.table({
                "embedding": pa.array(rows, pa.list_(pa.float32())),
                "number": pa.array([row and row[3] for row in rows], pa.float64()),
                "status": [columns.SCORED if row else columns.SKIPPED for row in rows],
                "reason": table["reason"],
            })  # fmt: skip
            name = file_name(part, is_last=at == len(tables) - 1)
            names.add(name)
            if not folder.exists(name):
                result = ShardResult(found, 0)
                commit(folder, name, shard=part, source=table, result=result, identity=identity_hash(IDENTITY))
    for old in {entry.path for entry in folder.files() if entry.path.endswith(".parquet")} - names:
        folder.delete(old)
    save(plan.known, folder, INPUTS)
    card = {"stage": stage, "status": "finished", "format": FORMAT, "identity": IDENTITY}
    folder.write("card.json", json.dumps(card).encode())
