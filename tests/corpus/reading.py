"""A corpus read to the end, as the tests of it need it."""

import pyarrow as pa

from raypipe.corpus import Corpus, Shard, UnreadableFile, plan_shards, read_shard, read_stream


def tables_of(corpus: Corpus, shard: Shard, *, part_rows: int = 1000) -> list[tuple[Shard, pa.Table]]:
    """A shard's table, or those of a stream's parts."""
    if shard.cut == "part":
        return [(part, table) for part, _, table in read_stream(corpus, shard, part_rows=part_rows)]
    return [(shard, read_shard(corpus, shard))]


def read_all(corpus: Corpus, *, shard_bytes: int = 10_000, part_rows: int = 1000) -> list[dict]:
    """All rows in corpus order, each with the path of its file; a file that can't be read gives {path, error}."""
    rows: list[dict] = []
    for shard in plan_shards(corpus, shard_bytes=shard_bytes, part_rows=part_rows):
        try:
            for _, table in tables_of(corpus, shard, part_rows=part_rows):
                rows += [{"path": shard.path, **row} for row in table.to_pylist()]
        except UnreadableFile as error:
            rows.append({"path": shard.path, "error": str(error)})
    return rows
